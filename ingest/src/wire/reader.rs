//! Fields off a byte slice.

/// Wire type of a number in 7-bit groups.
pub(crate) const VARINT: u8 = 0;
/// Wire type of eight bytes, little-endian.
pub(crate) const FIXED64: u8 = 1;
/// Wire type of bytes behind their length.
pub(crate) const BYTES: u8 = 2;
/// Wire type that begins a group.
const GROUP: u8 = 3;
/// Wire type that ends a group.
pub(crate) const END_GROUP: u8 = 4;
/// Wire type of four bytes, little-endian.
pub(crate) const FIXED32: u8 = 5;

/// Why bytes are not the message they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The message ends inside a field, or a length points past the end.
    #[error("unexpected EOF")]
    UnexpectedEof,
    /// A number has more than ten bytes.
    #[error("proto: integer overflow")]
    IntOverflow,
    /// A length is negative.
    #[error("proto: negative length found during unmarshaling")]
    InvalidLength,
    /// A group ends that did not begin.
    #[error("proto: {message}: wiretype end group for non-group")]
    EndOfGroup {
        /// The message it stands in.
        message: &'static str,
    },
    /// A group ends that did not begin, inside a field that is skipped.
    #[error("proto: unexpected end of group")]
    UnexpectedEndOfGroup,
    /// A field number is zero or too large.
    #[error("proto: {message}: illegal tag {field} (wire type {tag})")]
    IllegalTag {
        /// The message it stands in.
        message: &'static str,
        /// The field number, as far as it fits.
        field: i32,
        /// The whole tag.
        tag: u64,
    },
    /// A known field has a wire type it cannot have.
    #[error("proto: wrong wireType = {wire_type} for field {field}")]
    WrongWireType {
        /// The field.
        field: &'static str,
        /// The wire type found.
        wire_type: u8,
    },
    /// A field comes more often than is read.
    #[error("proto: more than {limit} entries for field {field}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// How many are read.
        limit: usize,
    },
    /// There is no such wire type.
    #[error("proto: illegal wireType {0}")]
    IllegalWireType(u8),
}

/// Number and wire type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// The field number, at least 1.
    pub field: u32,
    /// The wire type, 0 to 7 without 4.
    pub wire_type: u8,
}

impl Tag {
    /// Checks the wire type of a known field.
    ///
    /// # Errors
    ///
    /// [`WireError::WrongWireType`].
    #[inline]
    pub(crate) fn expect(self, wire_type: u8, field: &'static str) -> Result<(), WireError> {
        if self.wire_type == wire_type {
            return Ok(());
        }
        Err(WireError::WrongWireType {
            field,
            wire_type: self.wire_type,
        })
    }
}

/// Reads a message from its first byte to its last.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader of a whole message.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, pos: 0 }
    }

    /// Returns how many bytes were read.
    #[inline]
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Tells whether everything was read.
    #[inline]
    pub(crate) fn is_at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    /// Reads the tag of the next field, `None` at the end. `message` is named in errors.
    ///
    /// # Errors
    ///
    /// The tag is cut off, too long or not one a field can have.
    #[inline]
    pub fn tag(&mut self, message: &'static str) -> Result<Option<Tag>, WireError> {
        if self.is_at_end() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let wire_type = (tag & 7) as u8;
        if wire_type == END_GROUP {
            return Err(WireError::EndOfGroup { message });
        }
        // The decoder this follows keeps 32 bits of the number and wants them positive.
        let field = (tag >> 3) as i32;
        match u32::try_from(field) {
            Ok(field) if field > 0 => Ok(Some(Tag { field, wire_type })),
            _ => Err(WireError::IllegalTag {
                message,
                field,
                tag,
            }),
        }
    }

    /// Reads a number of up to ten bytes. Bits beyond the 64th are lost.
    ///
    /// # Errors
    ///
    /// The number is cut off or too long.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, WireError> {
        match self.bytes.get(self.pos) {
            Some(&byte) if byte < 0x80 => {
                self.pos += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.pos) else {
                return Err(WireError::UnexpectedEof);
            };
            self.pos += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::IntOverflow)
    }

    /// Reads eight bytes.
    ///
    /// # Errors
    ///
    /// There are fewer.
    #[inline]
    pub fn fixed64(&mut self) -> Result<u64, WireError> {
        let eight = self.bytes.get(self.pos..).and_then(<[u8]>::first_chunk);
        let Some(eight) = eight else {
            return Err(WireError::UnexpectedEof);
        };
        self.pos += 8;
        Ok(u64::from_le_bytes(*eight))
    }

    /// Reads four bytes.
    ///
    /// # Errors
    ///
    /// There are fewer.
    pub fn fixed32(&mut self) -> Result<u32, WireError> {
        let four = self.bytes.get(self.pos..).and_then(<[u8]>::first_chunk);
        let Some(four) = four else {
            return Err(WireError::UnexpectedEof);
        };
        self.pos += 4;
        Ok(u32::from_le_bytes(*four))
    }

    /// Reads a length and that many bytes.
    ///
    /// # Errors
    ///
    /// The length is malformed or points past the end.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.varint()?;
        if len > i64::MAX as u64 {
            return Err(WireError::InvalidLength);
        }
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(bytes) => {
                self.pos += bytes.len();
                Ok(bytes)
            }
            None => Err(WireError::UnexpectedEof),
        }
    }

    /// Passes over the content of a field, a group with all that is in it.
    ///
    /// # Errors
    ///
    /// The content is cut off or malformed.
    pub fn skip(&mut self, tag: Tag) -> Result<(), WireError> {
        let mut wire_type = tag.wire_type;
        let mut depth = 0usize;
        loop {
            match wire_type {
                VARINT => {
                    self.varint()?;
                }
                FIXED64 => self.advance(8)?,
                BYTES => {
                    self.bytes()?;
                }
                FIXED32 => self.advance(4)?,
                GROUP => depth += 1,
                END_GROUP => match depth.checked_sub(1) {
                    Some(outer) => depth = outer,
                    None => return Err(WireError::UnexpectedEndOfGroup),
                },
                other => return Err(WireError::IllegalWireType(other)),
            }
            if depth == 0 {
                return Ok(());
            }
            if self.is_at_end() {
                return Err(WireError::UnexpectedEof);
            }
            wire_type = (self.varint()? & 7) as u8;
        }
    }

    /// Reads a message within this one. `field` is named in errors.
    ///
    /// # Errors
    ///
    /// It is no message, or cut off.
    pub fn message(&mut self, tag: Tag, field: &'static str) -> Result<Reader<'a>, WireError> {
        tag.expect(BYTES, field)?;
        self.bytes().map(Reader::new)
    }

    /// Reads a text. What is not UTF-8 of it becomes U+FFFD.
    ///
    /// # Errors
    ///
    /// It is no text, or cut off.
    pub fn text(&mut self, tag: Tag, field: &'static str) -> Result<String, WireError> {
        tag.expect(BYTES, field)?;
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// Reads a signed number (`int64`).
    ///
    /// # Errors
    ///
    /// It is no number, or cut off.
    pub fn int(&mut self, tag: Tag, field: &'static str) -> Result<i64, WireError> {
        tag.expect(VARINT, field)?;
        self.varint().map(u64::cast_signed)
    }

    /// Reads numbers of a repeated field, packed or one.
    ///
    /// # Errors
    ///
    /// They are no numbers, or cut off.
    pub fn numbers(
        &mut self,
        tag: Tag,
        field: &'static str,
        out: &mut Vec<u64>,
    ) -> Result<(), WireError> {
        if tag.wire_type == VARINT {
            out.push(self.varint()?);
            return Ok(());
        }
        let mut packed = self.message(tag, field)?;
        while !packed.is_at_end() {
            out.push(packed.varint()?);
        }
        Ok(())
    }

    fn advance(&mut self, len_bytes: usize) -> Result<(), WireError> {
        if self.bytes.len() - self.pos < len_bytes {
            return Err(WireError::UnexpectedEof);
        }
        self.pos += len_bytes;
        Ok(())
    }

    /// Passes over a run of fields with this one-byte tag and content of less than
    /// 128 bytes, which is what labels look like.
    #[inline]
    pub(super) fn skip_short_run(&mut self, tag: u8) {
        while let Some(&[found, len]) = self.bytes.get(self.pos..).and_then(<[u8]>::first_chunk) {
            let end = self.pos + 2 + usize::from(len);
            if found != tag || len >= 0x80 || end > self.bytes.len() {
                break;
            }
            self.pos = end;
        }
    }
}
