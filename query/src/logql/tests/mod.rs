mod deep;
mod entries;
mod errors;
mod meaning;
mod prints;
mod random;
mod stages;
mod windows;
