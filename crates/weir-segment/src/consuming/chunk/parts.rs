//! Numbers, texts and lists as bytes, little-endian: written and read in whole slices, and never past the end.

use roaring::RoaringBitmap;
use weir_types::{BytesColumn, ColumnData, Stored};

/// A number of fixed width.
pub(super) trait Fixed: Copy {
    /// Appends them all.
    fn put(values: &[Self], out: &mut Vec<u8>);
    /// As many as the bytes hold.
    fn get(bytes: &[u8]) -> Vec<Self>;
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

            fn get(bytes: &[u8]) -> Vec<Self> {
                const WIDTH: usize = size_of::<$number>();
                bytes.as_chunks::<WIDTH>().0.iter().map(|place| <$number>::from_le_bytes(*place)).collect()
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
        Ok(T::get(self.take(count.checked_mul(size_of::<T>()).ok_or("it ends too early")?)?))
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
                check_text(&text)?;
                ColumnData::Str(text)
            }
            Stored::Bytes => ColumnData::Bytes(self.bytes()?),
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
fn check_text(text: &BytesColumn) -> Result<(), Problem> {
    let (offsets, bytes) = text.parts();
    let whole = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8")?;
    if whole.is_ascii() || offsets.iter().all(|end| whole.is_char_boundary(*end as usize)) {
        return Ok(());
    }
    Err("a text is not UTF-8")
}
