//! Writes the table of files: path, type, ETag, bytes, and bytes as gzip.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Compressed files that are not this much smaller are kept as they are.
const LEAST_GAIN: usize = 64;

/// Writes the table of a folder's files.
pub(crate) fn write(folder: &Path, out: &Path) -> io::Result<()> {
    let mut paths = Vec::new();
    collect(folder, "", &mut paths)?;
    paths.sort();
    let mut source = String::from("static FILES: &[File] = &[\n");
    for (n, path) in paths.iter().enumerate() {
        let bytes = fs::read(folder.join(path))?;
        let raw = out.join(format!("{n}.raw"));
        fs::write(&raw, &bytes)?;
        let packed = gzip(&bytes)?;
        let gzip = if packed.len() + LEAST_GAIN < bytes.len() {
            let file = out.join(format!("{n}.gz"));
            fs::write(&file, &packed)?;
            format!("Some(include_bytes!({:?}))", file.display().to_string())
        } else {
            "None".to_owned()
        };
        let etag = format!("\"{:08x}{:x}\"", crc32fast::hash(&bytes), bytes.len());
        let _ = writeln!(
            source,
            "    File {{ path: {path:?}, mime: {:?}, etag: {etag:?}, hashed: {}, \
             raw: include_bytes!({:?}), gzip: {gzip} }},",
            mime(path),
            path.starts_with("assets/"),
            raw.display().to_string(),
        );
    }
    source.push_str("];\nstatic MISSING: Option<&str> = None;\n");
    fs::write(out.join("assets.rs"), source)
}

/// Writes an empty table and why it is empty.
pub(crate) fn write_reason(reason: &str, out: &Path) -> io::Result<()> {
    let source =
        format!("static FILES: &[File] = &[];\nstatic MISSING: Option<&str> = Some({reason:?});\n");
    fs::write(out.join("assets.rs"), source)
}

/// Collects the paths of all files below a folder, with `/` between names.
fn collect(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn mime(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "css" => "text/css; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" | "webmanifest" => "application/json",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
