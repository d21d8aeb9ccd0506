//! The files of Kymo's web page, as they are handed out.
//!
//! They are built from `server/ui` while this crate is (`build/main.rs`) and are part of the
//! program. There may be none; [`missing`] then says why, in words for people.
//! The crate stands alone, so that a change of the page rebuilds nothing else.

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Where it is below the page's root, without a slash at the front.
    pub path: &'static str,
    /// Its type, as `Content-Type` has it.
    pub mime: &'static str,
    /// What tells it from other contents, in quotes.
    pub etag: &'static str,
    /// Whether its name has a hash of its contents, so that it never changes.
    pub hashed: bool,
    /// Its contents.
    pub raw: &'static [u8],
    /// The same as gzip, where that is smaller.
    pub gzip: Option<&'static [u8]>,
}

/// Returns the file with a path, such as `index.html`.
#[must_use]
pub fn file(path: &str) -> Option<&'static File> {
    let at = FILES.binary_search_by(|file| file.path.cmp(path)).ok()?;
    FILES.get(at)
}

/// Returns all files, sorted by path.
#[must_use]
pub fn files() -> &'static [File] {
    FILES
}

/// Returns why there are no files, where there are none.
#[must_use]
pub fn missing() -> Option<&'static str> {
    MISSING
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_or_a_reason_is_given() {
        match missing() {
            Some(reason) => {
                assert!(files().is_empty());
                assert!(reason.contains("UI_DIST"), "{reason}");
            }
            None => {
                let index = file("index.html").unwrap();
                assert!(!index.hashed);
                assert!(files().is_sorted_by_key(|file| file.path));
                assert!(
                    files()
                        .iter()
                        .any(|file| file.hashed && file.gzip.is_some())
                );
            }
        }
        assert!(file("no such file").is_none());
    }
}
