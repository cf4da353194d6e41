//! How large an array becomes when its dictionary, its runs or its shared list items are written out, before that is done.
//!
//! A dictionary of one long text and a million keys is a small message and a million long texts.

use arrow::{
    array::{Array, ArrayRef, AsArray, RunArray},
    datatypes::{ArrowNativeType, DataType as Arrow, Int16Type, Int32Type, Int64Type, RunEndIndexType},
};

/// What a value of fixed width takes at most.
const WIDTH: u64 = 32;

/// Bytes that the values of an array take when each stands for itself; `None` where the array holds them so already.
pub(super) fn written_out(array: &ArrayRef) -> Option<u64> {
    match array.data_type() {
        Arrow::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                // All are null.
                return Some((array.len() as u64).saturating_mul(WIDTH));
            }
            let weights = weights(dictionary.values());
            let keys = dictionary.normalized_keys();
            // Where there is no value the key is any.
            let weight = |(at, key): (usize, &usize)| match dictionary.keys().is_null(at) {
                true => WIDTH,
                false => weights.get(*key).copied().unwrap_or(WIDTH),
            };
            Some(sum(keys.iter().enumerate().map(weight)))
        }
        Arrow::RunEndEncoded(ends, _) => Some(match ends.data_type() {
            Arrow::Int16 => runs(array.as_run::<Int16Type>()),
            Arrow::Int32 => runs(array.as_run::<Int32Type>()),
            _ => runs(array.as_run::<Int64Type>()),
        }),
        Arrow::ListView(_) => {
            let lists = array.as_list_view::<i32>();
            Some(lists_of(lists.offsets(), lists.sizes(), lists.values()))
        }
        Arrow::LargeListView(_) => {
            let lists = array.as_list_view::<i64>();
            Some(lists_of(lists.offsets(), lists.sizes(), lists.values()))
        }
        _ => None,
    }
}

fn sum(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}

/// Bytes of each value.
fn weights(values: &ArrayRef) -> Vec<u64> {
    let weight = |at: usize| {
        let bytes = match values.data_type() {
            Arrow::Utf8 => values.as_string::<i32>().value(at).len(),
            Arrow::LargeUtf8 => values.as_string::<i64>().value(at).len(),
            Arrow::Utf8View => values.as_string_view().value(at).len(),
            Arrow::Binary => values.as_binary::<i32>().value(at).len(),
            Arrow::LargeBinary => values.as_binary::<i64>().value(at).len(),
            Arrow::BinaryView => values.as_binary_view().value(at).len(),
            kind if kind.is_primitive() || *kind == Arrow::Boolean => 0,
            _ => values.slice(at, 1).to_data().get_slice_memory_size().unwrap_or(usize::MAX),
        };
        WIDTH.saturating_add(bytes as u64)
    };
    (0..values.len()).map(weight).collect()
}

fn runs<T: RunEndIndexType>(array: &RunArray<T>) -> u64 {
    let (ends, mut before) = (array.run_ends().values(), 0);
    sum(ends.iter().zip(weights(array.values())).map(|(end, weight)| {
        let end = end.as_usize() as u64;
        let rows = end.saturating_sub(before);
        before = end;
        rows.saturating_mul(weight)
    }))
}

fn lists_of<T: ArrowNativeType>(offsets: &[T], sizes: &[T], values: &ArrayRef) -> u64 {
    let mut up_to = vec![0_u64];
    for weight in weights(values) {
        up_to.push(up_to[up_to.len() - 1].saturating_add(weight));
    }
    let weight = |at: usize| up_to.get(at).copied().unwrap_or(u64::MAX);
    sum(offsets.iter().zip(sizes).map(|(offset, size)| {
        let (from, to) = (offset.as_usize(), offset.as_usize().saturating_add(size.as_usize()));
        weight(to).saturating_sub(weight(from))
    }))
}
