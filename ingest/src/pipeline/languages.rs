//! Languages that stages use and this crate does not know: they are handed in.

/// Makes templates, selectors and layouts of their texts.
pub trait Languages: Send + Sync {
    /// Reads a template of Go with the functions of pipelines.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn template(&self, text: &str) -> Result<Box<dyn TextTemplate>, String>;

    /// Reads a selector of LogQL, with line filters behind it.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn selector(&self, text: &str) -> Result<Box<dyn Selector>, String>;

    /// Reads a layout of times; what it does not say of the zone is `location`.
    ///
    /// # Errors
    /// There is no such location.
    fn layout(&self, layout: &str, location: Option<&str>) -> Result<Box<dyn TimeLayout>, String>;
}

/// A template that was read.
pub trait TextTemplate: Send + Sync {
    /// Executes it over texts by name, of which the last of one name counts. A name that is
    /// not there is no value, which prints as `<no value>`.
    ///
    /// # Errors
    /// The execution failed.
    fn expand(&self, data: &[(&str, &str)], now_ns: i64) -> Result<String, String>;
}

/// A selector that was read.
pub trait Selector: Send + Sync {
    /// Tells whether it takes a line of a stream, whose labels `label` gives.
    fn takes(&self, label: &dyn Fn(&str) -> Option<std::sync::Arc<str>>, line: &[u8]) -> bool;
}

/// A layout that was read.
pub trait TimeLayout: Send + Sync {
    /// Reads a time, in nanoseconds since the epoch. `None` where the text does not follow
    /// the layout. A layout without year means the year that is close to `now_ns`.
    fn read(&self, text: &str, now_ns: i64) -> Option<i64>;
}
