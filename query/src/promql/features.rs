//! Parts of the language that a server must be told to accept.

/// Which optional parts of PromQL are accepted. The default is that of a server
/// started without flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// Functions and aggregations marked experimental.
    pub experimental_functions: bool,
    /// Arithmetic, `step()` and the like where a duration is expected.
    pub duration_expr: bool,
    /// `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`.
    pub binop_fill_modifiers: bool,
}

impl Features {
    /// Everything the parser knows.
    pub const ALL: Features = Features {
        experimental_functions: true,
        duration_expr: true,
        extended_range_selectors: true,
        binop_fill_modifiers: true,
    };
}

impl Default for Features {
    fn default() -> Features {
        Features {
            experimental_functions: false,
            duration_expr: true,
            extended_range_selectors: false,
            binop_fill_modifiers: false,
        }
    }
}
