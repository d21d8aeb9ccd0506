//! A byte of settings and any bytes as a request of OTLP metrics: what is translated
//! without a mistake is a request by the tables of its messages.
#![no_main]

mod otlp;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some((bits, bytes)) = input.split_first() {
        otlp::run(*bits, bytes);
    }
});
