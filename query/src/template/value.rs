//! The values that templates work on, with the types that Go would give them.
//!
//! Types matter more than one would like: comparisons refuse to mix them, errors name
//! them, and printing asks them. A string is bytes, since cutting one may split a
//! character. Values never form cycles and nest at most [`MAX_DEPTH`] deep, so that
//! whoever walks one needs little stack.

use std::fmt;
use std::sync::Arc;

use super::function::Function;
use super::time::Time;

/// How deep lists and maps may lie in each other.
pub(super) const MAX_DEPTH: usize = 150;

/// A string of Go: bytes that are mostly UTF-8. Cloning shares them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the text as Go's decoding sees it: each byte that is not part of UTF-8
    /// is a replacement character.
    pub fn to_str(&self) -> std::borrow::Cow<'_, str> {
        match str::from_utf8(&self.0) {
            Ok(text) => text.into(),
            Err(_) => decode(&self.0).into(),
        }
    }

    /// Counts the bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Tells whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Decodes bytes, replacing each that is not part of valid UTF-8.
pub(super) fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_str())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        Text(text.into_bytes().into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Text {
        Text(bytes.into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text(bytes.into())
    }
}

/// The types of Go that values have and parameters ask for.
#[derive(Debug, Clone, Copy)]
pub enum Type {
    /// `interface {}`: takes every value, and nil.
    Any,
    /// A parameter that takes a value as it is, of whatever type (`reflect.Value`).
    Reflect,
    /// `bool`
    Bool,
    /// A signed integer.
    Int(IntType),
    /// An unsigned integer.
    Uint(UintType),
    /// `float64`
    Float,
    /// `complex128`
    Complex,
    /// `string`
    String,
    /// A type with a name, or made of other types.
    Named(&'static NamedType),
    /// A pointer to such a type.
    Pointer(&'static NamedType),
}

/// The signed integer types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntType {
    /// `int`, which is what constants and lengths are.
    Int,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
}

/// The unsigned integer types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UintType {
    /// `uint8`, the bytes of a string.
    Uint8,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
}

/// A type that is not one of the basic ones.
#[derive(Debug)]
pub struct NamedType {
    /// As Go prints it, such as `time.Duration` or `map[string]string`.
    pub name: &'static str,
    /// What it is made of.
    pub shape: Shape,
    /// What can be called on its values; the value is the first argument.
    pub methods: &'static [Function],
    /// How its values print themselves, where they do (`String() string`).
    pub stringer: Option<fn(&Value) -> String>,
    /// Whether only a pointer to a value prints itself.
    pub stringer_on_pointer: bool,
}

impl NamedType {
    /// Returns a type without methods.
    pub const fn plain(name: &'static str, shape: Shape) -> NamedType {
        NamedType {
            name,
            shape,
            methods: &[],
            stringer: None,
            stringer_on_pointer: false,
        }
    }
}

/// What a type is made of.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// A signed integer.
    Int(IntType),
    /// A point in time, whose fields nobody sees.
    Time,
    /// A slice of values of a type.
    List(Type),
    /// A map from strings to values of a type.
    Map(Type),
    /// Named fields.
    Struct(&'static [(&'static str, Type)]),
}

impl Type {
    /// Returns the name of the type as Go prints it.
    pub fn name(self) -> String {
        match self {
            Type::Any => "interface {}".to_owned(),
            Type::Reflect => "reflect.Value".to_owned(),
            Type::Bool => "bool".to_owned(),
            Type::Int(int) => int.name().to_owned(),
            Type::Uint(uint) => uint.name().to_owned(),
            Type::Float => "float64".to_owned(),
            Type::Complex => "complex128".to_owned(),
            Type::String => "string".to_owned(),
            Type::Named(named) => named.name.to_owned(),
            Type::Pointer(named) => format!("*{}", named.name),
        }
    }

    /// Tells whether nil is a value of the type.
    pub(super) fn can_be_nil(self) -> bool {
        match self {
            Type::Any | Type::Reflect | Type::Pointer(_) => true,
            Type::Named(named) => matches!(named.shape, Shape::List(_) | Shape::Map(_)),
            _ => false,
        }
    }

    /// Returns the type that the items of a list or map are known under, where it hides
    /// the types of their values.
    pub(super) fn hides_items(self) -> Option<Type> {
        match self {
            Type::Named(named) => match named.shape {
                Shape::List(item) | Shape::Map(item) => item.hiding(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Returns the type where it hides the types of its values: interfaces do.
    pub(super) fn hiding(self) -> Option<Type> {
        matches!(self, Type::Any).then_some(self)
    }

    /// Tells whether a value of this type can be given where `other` is asked for.
    pub(super) fn assignable_to(self, other: Type) -> bool {
        match (self, other) {
            (_, Type::Any | Type::Reflect) => true,
            (Type::Bool, Type::Bool)
            | (Type::Float, Type::Float)
            | (Type::Complex, Type::Complex)
            | (Type::String, Type::String) => true,
            (Type::Int(a), Type::Int(b)) => a == b,
            (Type::Uint(a), Type::Uint(b)) => a == b,
            (Type::Named(a), Type::Named(b)) | (Type::Pointer(a), Type::Pointer(b)) => {
                std::ptr::eq(a, b) || a.name == b.name
            }
            _ => false,
        }
    }

    /// Returns the value that Go's variables of the type start with.
    pub(super) fn zero(self) -> Value {
        match self {
            Type::Any | Type::Reflect | Type::Pointer(_) => Value::Nil(self),
            Type::Bool => Value::Bool(false),
            Type::Int(int) => Value::Int(0, int),
            Type::Uint(uint) => Value::Uint(0, uint),
            Type::Float => Value::Float(0.0),
            Type::Complex => Value::Complex(0.0, 0.0),
            Type::String => Value::from(""),
            Type::Named(named) => match named.shape {
                Shape::Int(_) => Value::Number(0, named),
                Shape::Time => Value::Time(Time::ZERO),
                Shape::List(_) | Shape::Map(_) => Value::Nil(self),
                Shape::Struct(fields) => {
                    let values = fields.iter().map(|(_, field)| field.zero()).collect();
                    Value::Struct(Arc::new(Struct {
                        kind: named,
                        values,
                        text: None,
                    }))
                }
            },
        }
    }
}

impl IntType {
    fn name(self) -> &'static str {
        match self {
            IntType::Int => "int",
            IntType::Int32 => "int32",
            IntType::Int64 => "int64",
        }
    }
}

impl UintType {
    fn name(self) -> &'static str {
        match self {
            UintType::Uint8 => "uint8",
            UintType::Uint32 => "uint32",
            UintType::Uint64 => "uint64",
        }
    }
}

/// A value of Go.
#[derive(Debug, Clone)]
pub enum Value {
    /// No value at all, such as a field of nothing.
    Invalid,
    /// The nil of a type.
    Nil(Type),
    /// A truth value.
    Bool(bool),
    /// A signed integer.
    Int(i64, IntType),
    /// An unsigned integer.
    Uint(u64, UintType),
    /// A floating point number.
    Float(f64),
    /// A complex number: its real and its imaginary part.
    Complex(f64, f64),
    /// A string.
    String(Text),
    /// An integer of a type with a name, such as a duration in nanoseconds.
    Number(i64, &'static NamedType),
    /// A point in time.
    Time(Time),
    /// A slice.
    List(Arc<List>),
    /// A map from strings.
    Map(Arc<Map>),
    /// A struct.
    Struct(Arc<Struct>),
    /// A pointer to a value of a type with a name.
    Pointer(Arc<Value>),
}

/// The items of a slice.
#[derive(Debug)]
pub struct List {
    kind: &'static NamedType,
    items: Vec<Value>,
    depth: usize,
}

impl List {
    /// Makes a slice of a list type.
    ///
    /// # Errors
    /// The items nest too deeply.
    pub fn new(kind: &'static NamedType, items: Vec<Value>) -> Result<List, String> {
        let depth = depth_around(items.iter())?;
        Ok(List { kind, items, depth })
    }

    /// Returns the items.
    pub fn items(&self) -> &[Value] {
        &self.items
    }
}

/// The entries of a map, sorted by key.
#[derive(Debug)]
pub struct Map {
    kind: &'static NamedType,
    entries: Vec<(Text, Value)>,
    depth: usize,
}

impl Map {
    /// Makes a map of a map type. Of entries with one key the last stays.
    ///
    /// # Errors
    /// The values nest too deeply.
    pub fn new(kind: &'static NamedType, mut entries: Vec<(Text, Value)>) -> Result<Map, String> {
        let depth = depth_around(entries.iter().map(|(_, value)| value))?;
        if !entries.is_sorted_by(|a, b| a.0 < b.0) {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            let mut kept: Vec<(Text, Value)> = Vec::with_capacity(entries.len());
            for entry in entries {
                match kept.last_mut() {
                    Some(last) if last.0 == entry.0 => *last = entry,
                    _ => kept.push(entry),
                }
            }
            entries = kept;
        }
        Ok(Map {
            kind,
            entries,
            depth,
        })
    }

    /// Returns the entries, sorted by key.
    pub fn entries(&self) -> &[(Text, Value)] {
        &self.entries
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        let at = self
            .entries
            .binary_search_by(|(name, _)| name.as_bytes().cmp(key));
        at.ok().map(|at| &self.entries[at].1)
    }
}

/// The fields of a struct.
#[derive(Debug)]
pub struct Struct {
    kind: &'static NamedType,
    values: Vec<Value>,
    text: Option<String>,
}

impl Struct {
    /// Makes a struct of a struct type, with a value for each field in order. `text`
    /// is how it prints itself, where it does.
    ///
    /// # Errors
    /// The values nest too deeply.
    pub fn new(
        kind: &'static NamedType,
        values: Vec<Value>,
        text: Option<String>,
    ) -> Result<Struct, String> {
        depth_around(values.iter())?;
        Ok(Struct { kind, values, text })
    }

    /// Returns the values of the fields, in order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// Returns how the struct prints itself, where it does.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    pub(super) fn fields(&self) -> &'static [(&'static str, Type)] {
        match self.kind.shape {
            Shape::Struct(fields) => fields,
            _ => &[],
        }
    }
}

fn depth_around<'v>(values: impl Iterator<Item = &'v Value>) -> Result<usize, String> {
    let depth = 1 + values.map(Value::depth).max().unwrap_or(0);
    if depth > MAX_DEPTH {
        return Err(format!("values nest deeper than {MAX_DEPTH}"));
    }
    Ok(depth)
}

impl Value {
    /// Returns an `int`.
    pub fn int(value: i64) -> Value {
        Value::Int(value, IntType::Int)
    }

    /// Returns an `int64`.
    pub fn int64(value: i64) -> Value {
        Value::Int(value, IntType::Int64)
    }

    /// Returns the type, `None` where there is no value.
    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Value::Invalid => return None,
            Value::Nil(kind) => *kind,
            Value::Bool(_) => Type::Bool,
            Value::Int(_, int) => Type::Int(*int),
            Value::Uint(_, uint) => Type::Uint(*uint),
            Value::Float(_) => Type::Float,
            Value::Complex(..) => Type::Complex,
            Value::String(_) => Type::String,
            Value::Number(_, named) => Type::Named(named),
            Value::Time(_) => Type::Named(&super::time::TIME),
            Value::List(list) => Type::Named(list.kind),
            Value::Map(map) => Type::Named(map.kind),
            Value::Struct(fields) => Type::Named(fields.kind),
            Value::Pointer(to) => match to.kind()? {
                Type::Named(named) => Type::Pointer(named),
                other => other,
            },
        })
    }

    /// Returns the name of the type, as Go prints it.
    pub(super) fn type_name(&self) -> String {
        self.kind().map_or_else(|| "<nil>".to_owned(), Type::name)
    }

    fn depth(&self) -> usize {
        match self {
            Value::List(list) => list.depth,
            Value::Map(map) => map.depth,
            Value::Struct(fields) => 1 + fields.values.iter().map(Value::depth).max().unwrap_or(0),
            Value::Pointer(to) => to.depth(),
            _ => 0,
        }
    }

    /// Returns what a pointer points to, and any other value itself.
    pub(super) fn pointee(&self) -> &Value {
        match self {
            Value::Pointer(to) => to.pointee(),
            other => other,
        }
    }

    /// Tells whether the value is a nil pointer or interface.
    pub(super) fn is_nil_pointer(&self) -> bool {
        matches!(
            self,
            Value::Nil(Type::Any | Type::Reflect | Type::Pointer(_))
        )
    }

    /// Returns what an interface holds: nil interfaces hold nothing.
    pub(super) fn out_of_interface(self) -> Value {
        match self {
            Value::Nil(Type::Any | Type::Reflect) => Value::Invalid,
            other => other,
        }
    }

    /// Tells whether Go's templates take the value as true: whether it is not the zero
    /// or empty value of its type.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Invalid | Value::Nil(_) => false,
            Value::Bool(value) => *value,
            Value::Int(value, _) | Value::Number(value, _) => *value != 0,
            Value::Uint(value, _) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Complex(real, imaginary) => *real != 0.0 || *imaginary != 0.0,
            Value::String(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Time(_) | Value::Struct(_) | Value::Pointer(_) => true,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text.into())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::String(bytes.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Value {
        Value::String(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

/// `[]interface {}`
pub static ANY_LIST: NamedType = NamedType::plain("[]interface {}", Shape::List(Type::Any));
/// `[]string`
pub static STRING_LIST: NamedType = NamedType::plain("[]string", Shape::List(Type::String));
/// `map[string]interface {}`
pub static ANY_MAP: NamedType = NamedType::plain("map[string]interface {}", Shape::Map(Type::Any));
/// `map[string]string`
pub static STRING_MAP: NamedType = NamedType::plain("map[string]string", Shape::Map(Type::String));
