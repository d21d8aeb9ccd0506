mod deep;
mod errors;
mod meaning;
mod prints;
mod random;
