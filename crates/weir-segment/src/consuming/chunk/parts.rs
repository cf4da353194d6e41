//! Numbers, texts and lists as bytes, little-endian: written and read in whole slices, and never past the end.

use crate::consuming::block::{Ids, Values};
use roaring::RoaringBitmap;
use std::ops::Range;
use weir_base::Mapped;
use weir_types::{BytesColumn, ColumnData, Stored};

/// A number of fixed width.
pub(super) trait Fixed: Copy {
    /// Appends them all.
    fn put(values: &[Self], out: &mut Vec<u8>);
    /// As many as the bytes hold.
    fn iter(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Self>;
}

macro_rules! fixed {
    ($($number:ty),+) => {
        $(impl Fixed for $number {
            fn put(values: &[Self], out: &mut Vec<u8>) {
                const WIDTH: usize = size_of::<$number>();
                let from = out.len();
                out.resize(from + values.len() * WIDTH, 0);
                let (places, _) = out[from..].as_chunks_mut::<WIDTH>();
                places.iter_mut().zip(values).for_each(|(place, value)| *place = value.to_le_bytes());
            }

            fn iter(bytes: &[u8]) -> impl DoubleEndedIterator<Item = Self> {
                const WIDTH: usize = size_of::<$number>();
                bytes.as_chunks::<WIDTH>().0.iter().map(|place| <$number>::from_le_bytes(*place))
            }
        })+
    };
}

fixed!(u8, u16, u32, u64, i32, i64, f32, f64);

/// Appends one number.
pub(super) fn put<T: Fixed>(value: T, out: &mut Vec<u8>) {
    T::put(&[value], out);
}

/// Appends how many there are, which is below 4 Gi in a block, and them all.
pub(super) fn put_list<T: Fixed>(values: &[T], out: &mut Vec<u8>) {
    put(u32::try_from(values.len()).expect("a block holds less than 4 G values"), out);
    T::put(values, out);
}

/// Appends values of any kind.
pub(super) fn put_data(data: &ColumnData, out: &mut Vec<u8>) {
    match data {
        ColumnData::Int(v) => put_list(v, out),
        ColumnData::Long(v) => put_list(v, out),
        ColumnData::Float(v) => put_list(v, out),
        ColumnData::Double(v) => put_list(v, out),
        ColumnData::Str(v) | ColumnData::Bytes(v) => {
            let (offsets, bytes) = v.parts();
            put_list(offsets, out);
            out.extend_from_slice(bytes);
        }
    }
}

/// Appends a set, in roaring's portable form.
pub(super) fn put_set(set: &RoaringBitmap, out: &mut Vec<u8>) {
    put(u32::try_from(set.serialized_size()).expect("a set of a block's rows is far below 4 GiB"), out);
    set.serialize_into(out).expect("memory takes all bytes");
}

/// What is left to read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

/// What does not fit.
pub(super) type Problem = &'static str;

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Problem> {
        let (head, tail) = self.0.split_at_checked(count).ok_or("it ends too early")?;
        self.0 = tail;
        Ok(head)
    }

    fn take_list<T: Fixed>(&mut self, count: usize) -> Result<Vec<T>, Problem> {
        Ok(T::iter(self.take(count.checked_mul(size_of::<T>()).ok_or("it ends too early")?)?).collect())
    }

    /// One number.
    pub(super) fn one<T: Fixed>(&mut self) -> Result<T, Problem> {
        self.take_list(1)?.first().copied().ok_or("it ends too early")
    }

    /// What `put_list` wrote.
    pub(super) fn list<T: Fixed>(&mut self) -> Result<Vec<T>, Problem> {
        let count = self.one::<u32>()?;
        self.take_list(count as usize)
    }

    /// What `put_data` wrote of that kind.
    pub(super) fn data(&mut self, stored: Stored) -> Result<ColumnData, Problem> {
        Ok(match stored {
            Stored::Int => ColumnData::Int(self.list()?),
            Stored::Long => ColumnData::Long(self.list()?),
            Stored::Float => ColumnData::Float(self.list()?),
            Stored::Double => ColumnData::Double(self.list()?),
            Stored::Str => {
                let text = self.bytes()?;
                check_text(text.parts().0.iter().copied(), text.parts().1)?;
                ColumnData::Str(text)
            }
            Stored::Bytes => ColumnData::Bytes(self.bytes()?),
        })
    }

    /// Passes over what `put_data` wrote of that kind, or `put_list` of ids, having looked that it can be read. How many
    /// values there are, the bytes they take when read, and the greatest id.
    pub(super) fn pass_values(&mut self, form: Form, stored: Stored) -> Result<Passed, Problem> {
        let (width, text) = match (form, stored) {
            (Form::Ids8, _) => (1, false),
            (Form::Ids16, _) => (2, false),
            (Form::Ids32, _) | (Form::Raw, Stored::Int | Stored::Float) => (4, false),
            (Form::Raw, Stored::Long | Stored::Double) => (8, false),
            (Form::Raw, Stored::Str | Stored::Bytes) => (4, true),
        };
        let listed = self.one::<u32>()? as usize;
        let bytes = self.take(listed.checked_mul(width).ok_or("it ends too early")?)?;
        if !text {
            let most_id = match form {
                Form::Raw => None,
                Form::Ids8 => u8::iter(bytes).max().map(u32::from),
                Form::Ids16 => u16::iter(bytes).max().map(u32::from),
                Form::Ids32 => u32::iter(bytes).max(),
            };
            return Ok(Passed { count: listed, byte_count: bytes.len(), most_id });
        }
        let end = u32::iter(bytes).next_back().ok_or("a text has no end")?;
        let text = self.take(end as usize)?;
        let falls =
            u32::iter(bytes).zip(u32::iter(bytes).skip(1)).fold(false, |falls, (one, next)| falls | (one > next));
        if falls || u32::iter(bytes).next() != Some(0) {
            return Err("ends of texts are out of order");
        }
        if stored == Stored::Str {
            check_text(u32::iter(bytes), text)?;
        }
        Ok(Passed { count: listed - 1, byte_count: bytes.len() + text.len(), most_id: None })
    }

    /// The values that `pass_values` passes over.
    fn values(&mut self, form: Form, stored: Stored) -> Result<Values, Problem> {
        Ok(match form {
            Form::Raw => Values::Raw(self.data(stored)?),
            Form::Ids8 => Values::Ids(Ids::U8(self.list()?)),
            Form::Ids16 => Values::Ids(Ids::U16(self.list()?)),
            Form::Ids32 => Values::Ids(Ids::U32(self.list()?)),
        })
    }

    fn bytes(&mut self) -> Result<BytesColumn, Problem> {
        let offsets: Vec<u32> = self.list()?;
        let end = *offsets.last().ok_or("a text has no end")?;
        let bytes = self.take(end as usize)?.to_vec();
        BytesColumn::from_parts(offsets, bytes).ok_or("ends of texts are out of order")
    }

    /// What `put_set` wrote.
    pub(super) fn set(&mut self) -> Result<RoaringBitmap, Problem> {
        let length = self.one::<u32>()?;
        let bytes = self.take(length as usize)?;
        RoaringBitmap::deserialize_from(bytes).map_err(|_| "a set of rows is damaged")
    }
}

/// Each text is UTF-8 if all of them together are and each ends between two characters.
fn check_text(mut ends: impl Iterator<Item = u32>, bytes: &[u8]) -> Result<(), Problem> {
    let whole = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
    if whole.is_ascii() || ends.all(|end| whole.is_char_boundary(end as usize)) {
        return Ok(());
    }
    Err("a text is not UTF-8")
}

/// How a block's values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Raw,
    Ids8,
    Ids16,
    Ids32,
}

impl Form {
    /// The form of values.
    pub(super) fn of(values: &Values) -> Self {
        match values {
            Values::Raw(_) => Self::Raw,
            Values::Ids(Ids::U8(_)) => Self::Ids8,
            Values::Ids(Ids::U16(_)) => Self::Ids16,
            Values::Ids(Ids::U32(_)) => Self::Ids32,
        }
    }

    /// Its byte.
    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Ids8 => 1,
            Self::Ids16 => 2,
            Self::Ids32 => 3,
        }
    }

    /// The form of a byte.
    pub(super) fn of_byte(byte: u8) -> Result<Self, Problem> {
        let forms = [Self::Raw, Self::Ids8, Self::Ids16, Self::Ids32];
        forms.into_iter().find(|form| form.byte() == byte).ok_or("has values in an unknown form")
    }
}

/// What `Reader::pass_values` saw.
pub(super) struct Passed {
    pub(super) count: usize,
    pub(super) byte_count: usize,
    pub(super) most_id: Option<u32>,
}

/// Values of a block that stay in the bytes they were restored from until somebody asks for them: a restart reads what
/// is asked, not what is there.
#[derive(Debug)]
pub(in crate::consuming) struct Lent {
    source: Mapped,
    at: Range<usize>,
    form: Form,
    stored: Stored,
    count: usize,
    byte_count: usize,
}

impl Lent {
    /// Values that were passed over at these bytes.
    pub(super) fn new(source: Mapped, at: Range<usize>, form: Form, stored: Stored, passed: &Passed) -> Self {
        Self { source, at, form, stored, count: passed.count, byte_count: passed.byte_count }
    }

    /// How many.
    pub(in crate::consuming) fn len(&self) -> usize {
        self.count
    }

    /// Bytes of memory they take when read.
    pub(in crate::consuming) fn byte_count(&self) -> usize {
        self.byte_count
    }

    /// Whether they are ids of the dictionary.
    pub(in crate::consuming) fn by_id(&self) -> bool {
        self.form != Form::Raw
    }

    /// Reads them. Where the disk does not give them any more, others stand for them that are as many; the segment is
    /// damaged then, and says so.
    pub(in crate::consuming) fn read(&self) -> Values {
        let read = Reader(&self.source[self.at.clone()]).values(self.form, self.stored);
        if self.source.damage().is_some() {
            return self.placeholders();
        }
        read.expect("these bytes were looked through when the block was restored, and nobody writes there")
    }

    fn placeholders(&self) -> Values {
        let count = self.count;
        match (self.form, self.stored) {
            (Form::Ids8 | Form::Ids16 | Form::Ids32, _) => Values::Ids(Ids::U8(vec![0; count])),
            (Form::Raw, Stored::Int) => Values::Raw(ColumnData::Int(vec![0; count])),
            (Form::Raw, Stored::Long) => Values::Raw(ColumnData::Long(vec![0; count])),
            (Form::Raw, Stored::Float) => Values::Raw(ColumnData::Float(vec![0.0; count])),
            (Form::Raw, Stored::Double) => Values::Raw(ColumnData::Double(vec![0.0; count])),
            (Form::Raw, Stored::Str | Stored::Bytes) => {
                let mut none = ColumnData::new(self.stored);
                if let ColumnData::Str(texts) | ColumnData::Bytes(texts) = &mut none {
                    (0..count).for_each(|_| texts.push(b""));
                }
                Values::Raw(none)
            }
        }
    }
}
