//! Restored and never interrupted are the same; damaged bytes are an error or rows, never a panic.

use super::*;
use crate::{
    consuming::tests::{segment, wide_model},
    scan::testing::{Model, check_columns, check_scan, model_and_filters},
    segment::{ColumnAt, Segment},
};
use proptest::prelude::*;
use std::collections::HashSet;
use weir_types::{Column, ColumnName, NextOffset};

fn chunks(snapshot: &ConsumingSnapshot) -> Vec<Vec<u8>> {
    let encoded = |chunk: Chunk<'_>| {
        let mut out = vec![];
        chunk.encode(&mut out);
        out
    };
    snapshot.chunks(0).map(encoded).collect()
}

fn restore<T: AsRef<[u8]>>(spec: &ConsumingSpec, chunks: &[T]) -> Result<ConsumingSegment, ChunkError> {
    let mut restoring = ConsumingSegment::restoring(spec.clone());
    chunks.iter().try_for_each(|chunk| {
        // Behind other bytes, as in a file.
        let source = Mapped::new([b"head", chunk.as_ref(), b"tail"].concat());
        restoring.take_up(&source, 4..4 + chunk.as_ref().len())
    })?;
    Ok(restoring.finish())
}

fn append(segment: &mut ConsumingSegment, model: &Model, rows: Range<usize>) {
    let first = rows.start as u64;
    segment.append(&model.batch(rows), &|at| NextOffset::new((first + u64::from(at)) * 2));
}

fn assert_same(one: &Arc<ConsumingSnapshot>, other: &Arc<ConsumingSnapshot>) {
    assert_eq!(one.meta, other.meta);
    // As text: a NaN is itself there.
    let known = |snapshot: &ConsumingSnapshot| format!("{:?} {:?}", snapshot.stats, snapshot.states);
    assert_eq!(known(one), known(other));
    assert_eq!(chunks(one), chunks(other));
    let blocks = |snapshot: &ConsumingSnapshot| snapshot.blocks.pieces().map(Block::rows).collect::<Vec<_>>();
    assert_eq!(blocks(one), blocks(other));
    for (one, other) in one.dictionaries.iter().zip(&other.dictionaries) {
        let data = |held: &Option<Arc<crate::consuming::SnapshotDictionary>>| {
            use crate::segment::Dictionary;
            held.as_ref().map(|held| format!("{:?}", held.data_of(0..held.len())))
        };
        assert_eq!(data(one), data(other));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn restored_and_appended_to_is_never_interrupted(
        (model, filters, valid) in model_and_filters(60),
        raw in any::<u8>(),
        cuts in prop::collection::vec((1_usize..9, any::<bool>()), 60),
        block_rows in 1_u32..20,
    ) {
        let fields = model.schema.fields();
        let raw = (0..fields.len()).filter(|at| raw & (1 << at) != 0).map(|at| fields[at].name.clone());
        let no_dictionary: HashSet<ColumnName> = raw.collect();
        let mut whole = segment(&model.schema, no_dictionary).with_block_rows(block_rows);
        // One that was restored behind each frozen block and got all that came later.
        let mut again: Vec<ConsumingSegment> = vec![];
        let (mut done, mut frozen) = (0, 0);
        for (count, publish) in cuts {
            let rows = done..(done + count).min(model.rows.len());
            done = rows.end;
            for segment in std::iter::once(&mut whole).chain(&mut again) {
                append(segment, &model, rows.clone());
                if publish {
                    segment.snapshot();
                }
            }
            if whole.frozen_rows() > frozen {
                frozen = whole.frozen_rows();
                prop_assert_eq!(frozen, whole.rows(), "a block freezes with all rows in it");
                let chunks = chunks(&whole.snapshot());
                let restored = restore(&whole.spec, &chunks).unwrap().with_block_rows(block_rows);
                prop_assert_eq!((restored.rows(), restored.frozen_rows()), (frozen, frozen));
                again.push(restored);
            }
        }
        let whole = whole.freeze().snapshot();
        prop_assert_eq!(whole.frozen_rows(), whole.meta.rows);
        for segment in again {
            let spec = segment.spec.clone();
            let again = segment.freeze().snapshot();
            assert_same(&whole, &again);
            check_columns(&*again, &model.head(done));
            let all = chunks(&again);
            let mut sealed = restore(&spec, &all).unwrap();
            let (sealed, head): (Arc<dyn Segment>, _) = (sealed.snapshot(), model.head(done));
            filters.iter().for_each(|filter| check_scan(&sealed, &head, filter, Some(&valid)));
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_or_rows(
        (model, _, _) in model_and_filters(30),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        shorten in any::<bool>(),
    ) {
        let mut whole = segment(&model.schema, HashSet::new()).with_block_rows(10);
        for start in (0..model.rows.len()).step_by(5) {
            append(&mut whole, &model, start..(start + 5).min(model.rows.len()));
            whole.snapshot();
        }
        let spec = whole.spec.clone();
        let mut chunks = chunks(&whole.freeze().snapshot());
        prop_assume!(!chunks.is_empty());
        let count = chunks.len();
        let bytes = &mut chunks[cut.index(count)];
        damage.iter().for_each(|(at, with)| {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        });
        if shorten {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(mut segment) = restore(&spec, &chunks) {
            let snapshot = segment.snapshot();
            for (at, (data_type, single_value)) in snapshot.layout.columns.iter().enumerate() {
                let mut out = Column::new(data_type.stored(), *single_value);
                snapshot.read_values(ColumnAt(at), 0..snapshot.meta.rows, &mut out);
                snapshot.read_nulls(ColumnAt(at), 0..snapshot.meta.rows, &mut out.nulls);
            }
            append(&mut segment, &model, 0..model.rows.len());
            drop(segment.freeze());
        }
    }
}

/// Columns go raw at 8,192 rows: in the middle of a block, at the end of one, and where the block's end is that look.
#[test]
fn a_column_goes_raw_in_the_restored_segment_too() {
    let model = wide_model(13_000);
    for (block_rows, batch) in [(3_000, 500), (8_000, 500), (1_024, 512), (8_192, 512), (64 * 1024, 4_096)] {
        let fill = |segment: &mut ConsumingSegment, from: usize| {
            let mut taken = vec![];
            for start in (from..model.rows.len()).step_by(batch) {
                let frozen = segment.frozen_rows();
                append(segment, &model, start..(start + batch).min(model.rows.len()));
                let snapshot = segment.snapshot();
                if segment.frozen_rows() > frozen {
                    taken.push(chunks(&snapshot));
                }
            }
            taken
        };
        let mut whole = segment(&model.schema, HashSet::new()).with_block_rows(block_rows);
        let taken = fill(&mut whole, 0);
        let spec = whole.spec.clone();
        let whole = whole.freeze().snapshot();
        for chunks in taken {
            let mut again = restore(&spec, &chunks).unwrap().with_block_rows(block_rows);
            let from = again.rows() as usize;
            fill(&mut again, from);
            assert_same(&whole, &again.freeze().snapshot());
        }
        check_columns(&*whole, &model);
    }
}

#[test]
fn chunks_of_another_form_are_refused_by_name() {
    let model = wide_model(100);
    let mut whole = segment(&model.schema, HashSet::new()).with_block_rows(50);
    append(&mut whole, &model, 0..60);
    append(&mut whole, &model, 60..100);
    let spec = whole.spec.clone();
    let chunks = chunks(&whole.freeze().snapshot());
    assert_eq!(chunks.len(), 2);
    let refused = |spec: &ConsumingSpec, chunks: &[&[u8]]| restore(spec, chunks).unwrap_err().to_string();
    let error = refused(&spec, &[&chunks[1]]);
    assert!(error.contains("chunk 0: head does not follow"), "{error}");
    let error = refused(&spec, &[&chunks[0], &chunks[1][..chunks[1].len() - 1]]);
    assert!(error.contains("chunk 1: column $streamOffset: it ends too early"), "{error}");
    let without = ConsumingSpec { keep_offsets: false, ..spec.clone() };
    assert!(refused(&without, &[&chunks[0]]).contains("another number of columns"));
    let no_dictionary = HashSet::from([ColumnName::parse("k").unwrap()]);
    let raw = ConsumingSpec { no_dictionary, ..spec.clone() };
    assert!(refused(&raw, &[&chunks[0]]).contains("column k: a column without a dictionary has one"));
    assert!(spec.form() != raw.form() && spec.form() != without.form());
    assert_eq!(spec.form(), ConsumingSpec { name: "other".into(), created_ms: 0, ..spec.clone() }.form());
}
