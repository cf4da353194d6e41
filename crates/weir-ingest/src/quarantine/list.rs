//! Looking into the quarantine: which entries are meant, and a page of them.
//!
//! The lock is held while positions are collected, not while the file is read: the pipeline adds under that lock. A file
//! that was rewritten meanwhile is noticed by what is read there, and the page is taken again from where it stood.

use crate::quarantine::{
    entry::{Body, Entry, EntryId},
    file::{FRAME_HEAD, LAYOUT, Quarantine},
    index::Place,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
    sync::Arc,
};
use weir_types::{NextOffset, StreamPartition, TopicName};

/// Neighbours are read together up to this many bytes: few calls, little memory.
const SLICE_BYTES: u64 = 1 << 20;
/// Rewrites of the file that one page may meet; each means that half a file of entries came in meanwhile.
const REWRITES_MOST: usize = 8;

/// Which entries are meant; all where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Of this topic.
    pub topic: Option<TopicName>,
    /// Of this partition number.
    pub partition: Option<u32>,
    /// From this offset on.
    pub from: Option<NextOffset>,
    /// Up to this offset, itself not.
    pub to: Option<NextOffset>,
    /// Rejected at this stage, in any case.
    pub stage: Option<Arc<str>>,
    /// One of these.
    pub among: Option<BTreeSet<(StreamPartition, NextOffset)>>,
}

impl Selection {
    fn takes(&self, id: &EntryId, place: &Place) -> bool {
        let EntryId { partition, offset, .. } = id;
        self.topic.as_ref().is_none_or(|topic| partition.topic == *topic)
            && self.partition.is_none_or(|number| partition.partition == number)
            && self.from.is_none_or(|from| *offset >= from)
            && self.to.is_none_or(|to| *offset < to)
            && self.stage.as_ref().is_none_or(|stage| place.stage.eq_ignore_ascii_case(stage))
            && self.among.as_ref().is_none_or(|among| among.contains(&(partition.clone(), *offset)))
    }

    /// The entries of `known` that are meant, after `after`, in order.
    pub(super) fn range<'a>(
        &'a self,
        known: &'a BTreeMap<EntryId, Place>,
        after: Option<&EntryId>,
    ) -> impl Iterator<Item = (&'a EntryId, &'a Place)> + use<'a> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.clone()));
        known.range((from, Bound::Unbounded)).filter(|(id, place)| self.takes(id, place))
    }
}

/// How much of the entries one page holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageBounds {
    /// Entries.
    pub(crate) entries: usize,
    /// Bytes in the file; one entry always comes.
    pub(crate) bytes: u64,
}

/// Some entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// By topic, partition, reading and offset.
    pub entries: Vec<Entry>,
    /// Where the next page goes on, where there is more.
    pub next: Option<EntryId>,
}

struct Places {
    places: Vec<(EntryId, Place)>,
    more: bool,
    generation: u64,
}

/// A page holds this much at most, whatever its entries weigh.
const PAGE_BYTES: u64 = 16 << 20;

impl Quarantine {
    /// Up to `most` of the selected entries (and some megabytes), beginning after `after`.
    ///
    /// # Errors
    /// The disk's; `InvalidData` where the file is damaged.
    pub fn page(&self, selection: &Selection, after: Option<&EntryId>, most: usize) -> io::Result<Page> {
        self.page_within(selection, after, PageBounds { entries: most, bytes: PAGE_BYTES })
    }

    pub(crate) fn page_within(
        &self,
        selection: &Selection,
        after: Option<&EntryId>,
        bounds: PageBounds,
    ) -> io::Result<Page> {
        for _ in 0..REWRITES_MOST {
            let Places { places, more, generation } = self.places(selection, after, bounds);
            match self.read(&places) {
                Ok(entries) => {
                    let next = places.last().filter(|_| more).map(|(key, _)| key.clone());
                    return Ok(Page { entries, next });
                }
                Err(error) if self.inner.lock().generation == generation => return Err(error),
                Err(_) => {}
            }
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "the quarantine is rewritten all the time: ask again"))
    }

    fn places(&self, selection: &Selection, after: Option<&EntryId>, bounds: PageBounds) -> Places {
        let inner = self.inner.lock();
        let (mut places, mut bytes) = (vec![], 0);
        let mut more = false;
        for (key, place) in selection.range(inner.index.known(), after) {
            bytes += u64::from(place.length);
            more = !places.is_empty() && (places.len() >= bounds.entries || bytes > bounds.bytes);
            if more {
                break;
            }
            places.push((key.clone(), place.clone()));
        }
        Places { places, more, generation: inner.generation }
    }

    fn read(&self, places: &[(EntryId, Place)]) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::with_capacity(places.len());
        let mut at = 0;
        while at < places.len() {
            let start = places[at].1.position - FRAME_HEAD as u64;
            let (mut end, mut to) = (start, at);
            while let Some((_, place)) = places.get(to)
                && place.position == end + FRAME_HEAD as u64
                && (to == at || place.position + u64::from(place.length) - start <= SLICE_BYTES)
            {
                end = place.position + u64::from(place.length);
                to += 1;
            }
            let content = self.disk.read_at(&self.path, start, (end - start) as usize)?;
            for (key, place) in &places[at..to] {
                let from = (place.position - start) as usize - FRAME_HEAD;
                match LAYOUT.body_at(&content, from).and_then(Body::decode) {
                    Some(Body::Entry(entry)) if entry.id() == *key => entries.push(entry),
                    _ => {
                        let text =
                            format!("the quarantine's entry of {} offset {} is damaged", key.partition, key.offset);
                        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                    }
                }
            }
            at = to;
        }
        Ok(entries)
    }
}
