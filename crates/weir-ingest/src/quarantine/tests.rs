//! The quarantine over a disk in memory: reopening, tearing, bounds, deletes, replays, and looking while it is rewritten.

use super::{Entry, PageBounds, Quarantine, QuarantineBounds, QuarantineCounts, Selection, entry::Body, file::frame};
use std::{path::Path, sync::Arc, time::Duration};
use weir_base::{Disk, MemDisk, SetClock, SharedClock, SimClock};
use weir_types::{NextOffset, StreamPartition, TopicName};

const PATH: &str = "/q/t.log";
const ALL: Selection = Selection { topic: None, partition: None, from: None, to: None, stage: None, among: None };

fn partition(number: u32) -> StreamPartition {
    StreamPartition { topic: TopicName::parse("t").unwrap(), partition: number }
}

fn entry(offset: u64, payload: &[u8]) -> Entry {
    Entry {
        partition: partition(1),
        reading: 0,
        offset: NextOffset::new(offset),
        time_ms: 7,
        stage: "DECODE".into(),
        column: String::new(),
        reason: "broken".into(),
        payload: payload.to_vec(),
        value_bytes: payload.len() as u64,
        key: Some(b"k".to_vec()),
        stream_time_ms: Some(5),
        headers: vec![],
    }
}

/// A quarantine on a disk, opened again and again.
struct Bench {
    disk: Arc<MemDisk>,
    clock: SharedClock,
    bounds: QuarantineBounds,
}

impl Bench {
    fn new(bounds: QuarantineBounds) -> Self {
        Self { disk: MemDisk::new(None), clock: SimClock::shared(1000), bounds }
    }

    fn open(&self) -> Arc<Quarantine> {
        Quarantine::open(self.disk.clone(), self.clock.clone(), PATH.into(), self.bounds).unwrap()
    }
}

fn plain() -> Bench {
    Bench::new(QuarantineBounds::default())
}

fn all(quarantine: &Quarantine) -> Vec<Entry> {
    quarantine.page(&ALL, None, usize::MAX).unwrap().entries
}

fn offsets(quarantine: &Quarantine) -> Vec<u64> {
    all(quarantine).iter().map(|entry| entry.offset.number()).collect()
}

fn counts(kept: u64, evicted: u64, deleted: u64) -> QuarantineCounts {
    QuarantineCounts { kept, evicted, deleted }
}

#[test]
fn entries_survive_reopening_once_each() {
    let bench = plain();
    let quarantine = bench.open();
    quarantine.add([entry(3, b"x"), entry(1, b"y"), entry(3, b"again")]).unwrap();
    drop(quarantine);
    let quarantine = bench.open();
    quarantine.add([entry(1, b"y"), entry(2, b"z")]).unwrap();
    assert_eq!(all(&quarantine), [entry(1, b"y"), entry(2, b"z"), entry(3, b"x")]);
    assert_eq!(quarantine.counts(), counts(3, 0, 0));
}

#[test]
fn a_torn_frame_is_cut_off() {
    let bench = plain();
    let path = Path::new(PATH);
    bench.open().add([entry(1, b"y"), entry(2, b"zz")]).unwrap();
    let whole = bench.disk.read(path).unwrap();
    for cut in 8..whole.len() {
        bench.disk.write_whole(path, &whole[..cut]).unwrap();
        let quarantine = bench.open();
        assert!(quarantine.counts().kept <= 1, "{cut}");
        quarantine.add([entry(1, b"y"), entry(2, b"zz")]).unwrap();
        drop(quarantine);
        assert_eq!(all(&bench.open()), [entry(1, b"y"), entry(2, b"zz")], "{cut}");
    }
}

#[test]
fn damage_in_the_middle_costs_what_it_hit_and_is_kept_aside() {
    let bench = plain();
    bench.open().add((0..20).map(|offset| entry(offset, b"payload"))).unwrap();
    let mut content = bench.disk.read(Path::new(PATH)).unwrap();
    let at = content.len() / 2;
    content[at] ^= 0xFF;
    bench.disk.write_whole(Path::new(PATH), &content).unwrap();
    let kept = offsets(&bench.open());
    assert_eq!(kept.len(), 19, "{kept:?}");
    assert!(kept.first() == Some(&0) && kept.last() == Some(&19), "{kept:?}");
    let aside: Vec<String> = bench.disk.list(Path::new("/q")).unwrap().into_iter().map(|entry| entry.name).collect();
    let damaged = aside.iter().find(|name| name.contains("damaged")).unwrap();
    assert_eq!(bench.disk.read(&Path::new("/q").join(damaged)).unwrap(), content);
    assert_eq!(offsets(&bench.open()), kept, "whole from here on");
}

#[test]
fn counts_that_a_damaged_file_makes_up_have_an_end() {
    let bench = plain();
    let mut content = b"WEIRQUA1".to_vec();
    for body in [Body::EvictedBefore(u64::MAX - 1), Body::EvictedBefore(7), Body::DeletedBefore(u64::MAX)] {
        frame(&mut content, &body.encode());
    }
    bench.disk.write_whole(Path::new(PATH), &content).unwrap();
    let quarantine = bench.open();
    quarantine.add([entry(1, b"a")]).unwrap();
    assert_eq!(quarantine.delete(&ALL).unwrap(), 0, "there is no room to count one more");
    assert_eq!(quarantine.counts(), counts(0, u64::MAX, u64::MAX));
}

#[test]
fn a_sync_covers_what_an_earlier_process_wrote() {
    for seed in 0..16 {
        let bench = plain();
        bench.open().add([entry(1, b"y")]).unwrap();
        bench.disk.kill();
        let quarantine = bench.open();
        quarantine.add([entry(1, b"y")]).unwrap();
        quarantine.sync().unwrap();
        bench.disk.crash(&mut weir_base::Chance::seeded(seed));
        assert_eq!(all(&bench.open()), [entry(1, b"y")], "seed {seed}");
    }
}

#[test]
fn a_sync_that_fails_is_made_up_for_by_writing_the_file_anew() {
    for seed in 0..16 {
        let bench = plain();
        let quarantine = bench.open();
        quarantine.add([entry(1, b"y")]).unwrap();
        quarantine.sync().unwrap();
        quarantine.add([entry(2, b"z")]).unwrap();
        bench.disk.fail_syncs(1);
        quarantine.sync().unwrap();
        quarantine.add([entry(3, b"a")]).unwrap();
        quarantine.sync().unwrap();
        bench.disk.crash(&mut weir_base::Chance::seeded(seed));
        assert_eq!(all(&bench.open()), [entry(1, b"y"), entry(2, b"z"), entry(3, b"a")], "seed {seed}");
    }
}

#[test]
fn the_oldest_go_first_and_are_counted_and_reading_again_brings_none_back() {
    let bench = Bench::new(QuarantineBounds { entries: 3, file_bytes: 4096, payload_bytes: 16, ..Default::default() });
    let quarantine = bench.open();
    quarantine.add((0..200).map(|offset| entry(offset, &[7; 64]))).unwrap();
    assert_eq!(offsets(&quarantine), [197, 198, 199]);
    assert_eq!(quarantine.counts(), counts(3, 197, 0));
    let first = &all(&quarantine)[0];
    assert_eq!((first.payload.as_slice(), first.value_bytes, first.is_whole()), (&[7; 16][..], 64, false));
    assert!(bench.disk.byte_count(Path::new(PATH)).unwrap().unwrap() <= 4096 + 256);
    quarantine.add((0..200).map(|offset| entry(offset, &[7; 64]))).unwrap();
    drop(quarantine);
    let quarantine = bench.open();
    quarantine.add((0..200).map(|offset| entry(offset, &[7; 64]))).unwrap();
    assert_eq!((offsets(&quarantine), quarantine.counts()), (vec![197, 198, 199], counts(3, 197, 0)));
}

#[test]
fn what_is_too_old_goes_without_anything_coming() {
    let wall = SetClock::at(0);
    let bounds = QuarantineBounds { age: Duration::from_millis(100), ..Default::default() };
    let bench = Bench { clock: wall.clone(), ..Bench::new(bounds) };
    let quarantine = bench.open();
    quarantine.add([Entry { time_ms: 0, ..entry(1, b"y") }, Entry { time_ms: 50, ..entry(2, b"z") }]).unwrap();
    quarantine.expire().unwrap();
    assert_eq!(quarantine.counts(), counts(2, 0, 0));
    wall.set(120);
    quarantine.expire().unwrap();
    assert_eq!((offsets(&quarantine), quarantine.counts()), (vec![2], counts(1, 1, 0)));
    quarantine.bound(QuarantineBounds { entries: 0, ..bounds });
    quarantine.expire().unwrap();
    assert_eq!(bench.open().counts(), counts(0, 2, 0));
}

#[test]
fn deleted_entries_stay_gone_also_when_their_range_is_read_again() {
    let bench = plain();
    let quarantine = bench.open();
    quarantine.add((0..6).map(|offset| entry(offset, b"y"))).unwrap();
    let some = Selection { from: Some(NextOffset::new(1)), to: Some(NextOffset::new(3)), ..ALL };
    assert_eq!(quarantine.delete(&some).unwrap(), 2);
    let among = [(partition(1), NextOffset::new(4)), (partition(1), NextOffset::new(1))].into();
    assert_eq!(quarantine.delete(&Selection { among: Some(among), ..ALL }).unwrap(), 1);
    assert_eq!(quarantine.delete(&Selection { stage: Some("TIME".into()), ..ALL }).unwrap(), 0);
    bench.disk.crash(&mut weir_base::Chance::seeded(1));
    let quarantine = bench.open();
    quarantine.add((0..6).map(|offset| entry(offset, b"y"))).unwrap();
    assert_eq!((offsets(&quarantine), quarantine.counts()), (vec![0, 3, 5], counts(3, 0, 3)));
    assert_eq!(quarantine.delete(&ALL).unwrap(), 3);
    assert_eq!(bench.open().counts(), counts(0, 0, 6));
}

#[test]
fn a_deletion_that_the_disk_does_not_confirm_says_what_is_gone() {
    let bench = plain();
    let quarantine = bench.open();
    quarantine.add((0..9).map(|offset| entry(offset, &[7; 512]))).unwrap();
    quarantine.sync().unwrap();
    // There is room for the note, and none to write the file anew where it cannot be synced.
    bench.disk.set_capacity(Some(bench.disk.used_bytes() + 512));
    bench.disk.fail_syncs(1);
    let some = Selection { to: Some(NextOffset::new(3)), ..ALL };
    let error = quarantine.delete(&some).unwrap_err();
    assert!(error.to_string().starts_with("3 entries are deleted"), "{error}");
    assert_eq!(quarantine.counts(), counts(6, 0, 3));
    bench.disk.set_capacity(None);
    assert_eq!(quarantine.delete(&some).unwrap(), 0, "confirmed now");
    bench.disk.crash(&mut weir_base::Chance::seeded(3));
    assert_eq!(bench.open().counts(), counts(6, 0, 3));
}

#[test]
fn replayed_entries_leave_and_failed_ones_say_why_anew() {
    let bench = plain();
    let quarantine = bench.open();
    quarantine.add((0..3).map(|offset| entry(offset, b"y"))).unwrap();
    quarantine.replayed(&(partition(1), 0), &[NextOffset::new(1), NextOffset::new(77)]).unwrap();
    let other = |offset| Entry { stage: "TIME".into(), reason: "too old".into(), ..entry(offset, b"y") };
    quarantine.failed_again([other(2), other(1)]).unwrap();
    drop(quarantine);
    let quarantine = bench.open();
    assert_eq!(all(&quarantine), [entry(0, b"y"), other(2)]);
    assert_eq!(quarantine.counts(), counts(2, 0, 0));
    assert_eq!(quarantine.page(&Selection { stage: Some("time".into()), ..ALL }, None, 9).unwrap().entries, [other(2)]);
}

#[test]
fn a_rewritten_file_tells_the_same() {
    let bench = Bench::new(QuarantineBounds { file_bytes: 4096, ..Default::default() });
    let quarantine = bench.open();
    quarantine.add((0..20).map(|offset| entry(offset, b"y"))).unwrap();
    let delete = |offset| {
        let among = Some([(partition(1), NextOffset::new(offset))].into());
        quarantine.delete(&Selection { among, ..ALL }).unwrap();
    };
    delete(19);
    let generation = quarantine.inner.lock().generation;
    let mut offset = 20;
    while quarantine.inner.lock().generation < generation + 3 {
        quarantine.add([entry(offset, b"y")]).unwrap();
        offset += 1;
    }
    let (kept, found) = (all(&quarantine), quarantine.counts());
    assert_eq!((found.deleted, found.kept + found.evicted), (1, offset - 1));
    drop(quarantine);
    let quarantine = bench.open();
    assert_eq!((all(&quarantine), quarantine.counts()), (kept, found));
    quarantine.add((0..offset).map(|offset| entry(offset, b"y"))).unwrap();
    assert_eq!(quarantine.counts(), found);
}

#[test]
fn pages_are_bounded_in_entries_and_bytes_and_go_on_where_they_ended() {
    let bench = plain();
    let quarantine = bench.open();
    let in_partition = |number, offset| Entry { partition: partition(number), ..entry(offset, &[1; 100]) };
    quarantine
        .add([3, 1, 2].into_iter().flat_map(|offset| [in_partition(0, offset), in_partition(1, offset)]))
        .unwrap();
    for bounds in [PageBounds { entries: 2, bytes: u64::MAX }, PageBounds { entries: 9, bytes: 1 }] {
        let (mut found, mut after, mut pages) = (vec![], None, 0);
        loop {
            let page = quarantine.page_within(&ALL, after.as_ref(), bounds).unwrap();
            assert!(page.entries.len() <= 2);
            pages += 1;
            found.extend(page.entries.into_iter().map(|entry| (entry.partition.partition, entry.offset.number())));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3)]);
        assert!(pages >= 3);
    }
    let one = Selection { topic: Some(TopicName::parse("t").unwrap()), partition: Some(1), ..ALL };
    assert_eq!(quarantine.page(&one, None, 9).unwrap().entries.len(), 3);
    assert!(
        quarantine.page(&Selection { topic: TopicName::parse("u").ok(), ..ALL }, None, 9).unwrap().entries.is_empty()
    );
}

#[test]
fn a_damaged_entry_is_named() {
    let bench = plain();
    let quarantine = bench.open();
    quarantine.add([entry(1, b"yyyy")]).unwrap();
    let path = Path::new(PATH);
    let mut content = bench.disk.read(path).unwrap();
    let last = content.len() - 1;
    content[last] ^= 1;
    bench.disk.write_whole(path, &content).unwrap();
    let error = quarantine.page(&ALL, None, 9).unwrap_err();
    assert!(error.to_string().contains("t/1 offset 1"), "{error}");
}

#[test]
fn looking_and_adding_at_once_gives_whole_entries() {
    let bench = Bench::new(QuarantineBounds { file_bytes: 8192, ..Default::default() });
    let quarantine = bench.open();
    std::thread::scope(|scope| {
        let adding = scope.spawn(|| {
            for offset in 0..2000 {
                quarantine.add([entry(offset, &offset.to_le_bytes())]).unwrap();
            }
        });
        while !adding.is_finished() {
            for entry in all(&quarantine) {
                assert_eq!(entry.payload, entry.offset.number().to_le_bytes());
            }
        }
    });
    assert!(quarantine.inner.lock().generation > 3);
    assert_eq!(quarantine.counts().kept + quarantine.counts().evicted, 2000);
}

#[test]
fn the_first_release_s_file_is_read() {
    let bench = plain();
    // One entry of t/1, offset 3, and a count of two evicted ones, as that release wrote them.
    let mut body = vec![1, 1, 0, 0, 0, b't', 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0];
    for text in [&b"DECODE"[..], b"", b"broken", b"y"] {
        body.extend_from_slice(&(text.len() as u32).to_le_bytes());
        body.extend_from_slice(text);
    }
    let mut content = b"WEIRQUA1".to_vec();
    for body in [&[2, 2, 0, 0, 0, 0, 0, 0, 0][..], &body] {
        content.extend_from_slice(&(body.len() as u32).to_le_bytes());
        content.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
        content.extend_from_slice(body);
    }
    bench.disk.write_whole(Path::new(PATH), &content).unwrap();
    let quarantine = bench.open();
    assert_eq!(all(&quarantine), [Entry { key: None, stream_time_ms: None, ..entry(3, b"y") }]);
    assert_eq!(quarantine.counts(), counts(1, 2, 0));
}

#[test]
fn nobody_waits_for_a_sync_that_takes_its_time() {
    let bench = plain();
    let quarantine = bench.open();
    quarantine.add([entry(1, b"a")]).unwrap();
    bench.disk.hold_syncing(true);
    let syncing = std::thread::spawn({
        let quarantine = quarantine.clone();
        move || quarantine.sync()
    });
    while bench.disk.waiting_syncs() == 0 {
        std::thread::yield_now();
    }
    quarantine.add([entry(2, b"b")]).unwrap();
    assert_eq!(offsets(&quarantine), [1, 2]);
    assert_eq!(quarantine.counts().kept, 2);
    assert!(!syncing.is_finished());
    bench.disk.hold_syncing(false);
    syncing.join().unwrap().unwrap();
    quarantine.sync().unwrap();
}
