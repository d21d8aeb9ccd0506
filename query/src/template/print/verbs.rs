//! How a value looks under a verb.

use super::Printer;
use crate::template::time::Time;
use crate::template::value::{NamedType, Shape, Type, UintType, Value};

/// Stands for the address of whatever has one: templates shall not tell apart runs.
const ADDRESS: u64 = 0xc0_0000_0000;

impl Printer {
    /// Writes an argument under a verb.
    pub(super) fn argument(&mut self, value: &Value, verb: char) {
        let nothing = matches!(
            value,
            Value::Invalid | Value::Nil(Type::Any | Type::Reflect)
        );
        match verb {
            'T' | 'v' if nothing => self.pad(b"<nil>"),
            _ if nothing => self.bad_verb(value, verb),
            'T' => self.string(value.type_name().as_bytes(), 's'),
            'p' => match value {
                Value::Pointer(_) | Value::Map(_) | Value::List(_) => {
                    self.hex(ADDRESS, !self.flags.sharp);
                }
                Value::Nil(_) => self.hex(0, !self.flags.sharp),
                _ => self.bad_verb(value, verb),
            },
            _ => self.value(value, verb, 0),
        }
    }

    /// Writes the form of a verb that does not suit its value.
    pub(super) fn bad_verb(&mut self, value: &Value, verb: char) {
        let erroring = std::mem::replace(&mut self.erroring, true);
        self.write_str("%!");
        self.write_char(verb);
        self.write_str("(");
        match value.kind() {
            None | Some(Type::Any | Type::Reflect) => self.write_str("<nil>"),
            Some(kind) => {
                self.write_str(&kind.name());
                self.write_str("=");
                self.value(value, 'v', 0);
            }
        }
        self.write_str(")");
        self.erroring = erroring;
    }

    /// Writes a value as it prints itself, where it does.
    fn by_itself(&mut self, value: &Value, verb: char) -> bool {
        if self.erroring || self.flags.sharp_v || !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
            return false;
        }
        if let Value::Struct(of) = value.pointee()
            && let Some(text) = of.text()
            && matches!(value, Value::Pointer(_))
        {
            self.string(text.as_bytes(), verb);
            return true;
        }
        let stringer = match value.kind() {
            Some(Type::Named(named)) if !named.stringer_on_pointer => named.stringer,
            Some(Type::Pointer(named)) if !value.is_nil_pointer() => named.stringer,
            _ => None,
        };
        match stringer {
            Some(stringer) => {
                let text = stringer(value);
                self.string(text.as_bytes(), verb);
                true
            }
            None => false,
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) {
        // Beyond the limit nothing is kept; a large value need not be walked.
        if self.over || self.by_itself(value, verb) {
            return;
        }
        match value {
            Value::Invalid => match verb {
                'v' => self.write_str("<nil>"),
                _ => self.bad_verb(value, verb),
            },
            Value::Nil(kind) => self.nil(value, *kind, verb),
            Value::Bool(bool) => match verb {
                't' | 'v' => self.pad(if *bool { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(int, _) | Value::Number(int, _) => {
                self.integer(value, *int as u64, true, verb);
            }
            Value::Uint(uint, _) => self.integer(value, *uint, false, verb),
            Value::Float(float) => {
                if !self.float(*float, verb) {
                    self.bad_verb(value, verb);
                }
            }
            Value::Complex(real, imaginary) => self.complex(value, *real, *imaginary, verb),
            Value::String(text) => match verb {
                'v' | 's' | 'x' | 'X' | 'q' => self.string(text.as_bytes(), verb),
                _ => self.bad_verb(value, verb),
            },
            Value::Time(time) => self.time_fields(time, verb, depth),
            Value::List(list) => {
                self.open(value, "[");
                for (index, item) in list.items().iter().enumerate() {
                    self.separator(index);
                    self.value(item, verb, depth + 1);
                }
                self.close("]");
            }
            Value::Map(map) => {
                self.open(value, "map[");
                for (index, (key, item)) in map.entries().iter().enumerate() {
                    self.separator(index);
                    self.value(&Value::String(key.clone()), verb, depth + 1);
                    self.write_str(":");
                    self.value(item, verb, depth + 1);
                }
                self.close("]");
            }
            Value::Struct(of) => {
                if self.flags.sharp_v {
                    self.write_str(&value.type_name());
                }
                self.write_str("{");
                for (index, (item, (name, _))) in of.values().iter().zip(of.fields()).enumerate() {
                    self.separator(index);
                    if self.flags.plus_v || self.flags.sharp_v {
                        self.write_str(name);
                        self.write_str(":");
                    }
                    self.value(item, verb, depth + 1);
                }
                self.write_str("}");
            }
            Value::Pointer(to) => match **to {
                Value::Struct(_) | Value::List(_) | Value::Map(_) | Value::Time(_)
                    if depth == 0 =>
                {
                    self.write_str("&");
                    self.value(to, verb, depth + 1);
                }
                _ => self.pointer(value, verb),
            },
        }
    }

    fn open(&mut self, value: &Value, plain: &str) {
        if self.flags.sharp_v {
            self.write_str(&value.type_name());
            self.write_str("{");
        } else {
            self.write_str(plain);
        }
    }

    fn close(&mut self, plain: &str) {
        self.write_str(if self.flags.sharp_v { "}" } else { plain });
    }

    fn separator(&mut self, index: usize) {
        if index > 0 {
            self.write_str(if self.flags.sharp_v { ", " } else { " " });
        }
    }

    fn nil(&mut self, value: &Value, kind: Type, verb: char) {
        match kind {
            Type::Named(named) if self.flags.sharp_v => {
                self.write_str(named.name);
                self.write_str("(nil)");
            }
            Type::Named(named) => match named.shape {
                Shape::Map(_) => self.write_str("map[]"),
                _ => self.write_str("[]"),
            },
            Type::Any | Type::Reflect if self.flags.sharp_v => {
                self.write_str("interface {}(nil)");
            }
            Type::Any | Type::Reflect => self.write_str("<nil>"),
            _ if self.flags.sharp_v => {
                let name = kind.name();
                self.write_str(&format!("({name})(nil)"));
            }
            _ if verb == 'v' => self.pad(b"<nil>"),
            _ => self.bad_verb(value, verb),
        }
    }

    fn pointer(&mut self, value: &Value, verb: char) {
        match verb {
            'v' if self.flags.sharp_v => {
                let name = value.type_name();
                self.write_str(&format!("({name})("));
                self.hex(ADDRESS, true);
                self.write_str(")");
            }
            'v' => self.hex(ADDRESS, !self.flags.sharp),
            'b' | 'o' | 'd' | 'x' | 'X' => self.integer(value, ADDRESS, false, verb),
            _ => self.bad_verb(value, verb),
        }
    }

    /// Writes a time that may not print itself: as Go code, or as the fields it has.
    fn time_fields(&mut self, time: &Time, verb: char, depth: usize) {
        if self.flags.sharp_v {
            let text = time.go_code();
            self.write_str(&text);
            return;
        }
        let (wall, seconds) = time.go_fields();
        let fields = [
            ("wall", Value::Uint(wall, UintType::Uint64)),
            ("ext", Value::int64(seconds)),
            ("loc", Value::Nil(Type::Pointer(&LOCATION))),
        ];
        self.write_str("{");
        for (index, (name, field)) in fields.iter().enumerate() {
            self.separator(index);
            if self.flags.plus_v {
                self.write_str(&format!("{name}:"));
            }
            self.value(field, verb, depth + 1);
        }
        self.write_str("}");
    }
}

static LOCATION: NamedType = NamedType::plain("time.Location", Shape::Struct(&[]));
