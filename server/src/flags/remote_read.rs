//! What remote readers may take.

use clap::Args;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Remote read")]
pub(crate) struct RemoteReadFlags {
    /// Most samples in the answer to one request; 0: no limit. Answers of streamed chunks
    /// have none.
    #[arg(
        long = "storage.remote.read-sample-limit",
        value_name = "N",
        default_value = "50000000",
        value_parser = parse_count
    )]
    pub(crate) sample_limit: usize,

    /// Most requests answered at one time, further ones wait; 0: no limit.
    #[arg(
        long = "storage.remote.read-concurrent-limit",
        value_name = "N",
        default_value_t = 10
    )]
    pub(crate) concurrency: usize,

    /// Bytes of chunks after which a frame of a streamed answer ends; one chunk may pass them.
    #[arg(
        long = "storage.remote.read-max-bytes-in-frame",
        value_name = "BYTES",
        default_value_t = 1 << 20
    )]
    pub(crate) max_bytes_in_frame: usize,
}

/// Reads a whole number, which may be written as `5e7`.
fn parse_count(text: &str) -> Result<usize, String> {
    if let Ok(count) = text.parse() {
        return Ok(count);
    }
    match text.parse::<f64>() {
        Ok(count) if (0.0..=1e15).contains(&count) && count.fract() == 0.0 => Ok(count as usize),
        _ => Err("must be a whole number, 0 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_may_have_an_exponent() {
        assert_eq!(parse_count("5e7"), Ok(50_000_000));
        assert_eq!(parse_count("0"), Ok(0));
        for text in ["-1", "0.5", "x", "1e30", "NaN"] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }
}
