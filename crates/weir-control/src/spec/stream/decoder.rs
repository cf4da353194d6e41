//! The decoder of a stream map and its settings.

use super::MapReader;
use crate::spec::{
    read::{At, Findings, scalar_text},
    table::{DecoderKnown, Decoders},
    walk::pointer_to,
};
use serde_json::Value as Json;
use std::{collections::BTreeMap, sync::Arc};

impl MapReader<'_> {
    /// The decoder by our name; `topics` and `patterns` count the maps of each kind before this one.
    pub(super) fn decoder(
        &self,
        (topics, patterns): (usize, usize),
        decoders: &Decoders<'_>,
        findings: &mut Findings,
    ) -> Option<Arc<str>> {
        let at = self.own("decoder.class.name");
        if let Decoders::Stored(names) = decoders {
            let pattern = !self.own("topic.pattern").is_absent();
            let name = if pattern { names.patterns.get(patterns) } else { names.topics.get(topics) };
            return name.map(|name| (**name).into());
        }
        if at.is_absent() {
            if !self.stream_type.is_empty() {
                findings
                    .wrong(&at, "must name the decoder: json, csv, .. or Pinot's class name, as JSONMessageDecoder");
            }
            return None;
        }
        let class = findings.text(&at)?;
        let Decoders::Ask { name, knows } = decoders else { return None };
        match name(class.trim()) {
            DecoderKnown::Yes(name) => {
                self.unknown_decoder_settings(|key| knows(name, key), findings);
                Some(name.into())
            }
            DecoderKnown::Absent(why) => {
                findings.wrong(&at, format!("this decoder is not here: {why}"));
                None
            }
            DecoderKnown::Unknown => {
                findings
                    .wrong(&at, "is not a decoder: json, csv, .. and Pinot's class names, as JSONMessageDecoder, are");
                None
            }
        }
    }

    /// Reports the decoder's settings that the decoder does not know.
    fn unknown_decoder_settings(&self, knows: impl Fn(&str) -> bool, findings: &mut Findings) {
        let prefix = format!("stream.{}.decoder.prop.", self.stream_type);
        for (key, at) in self.map.entries() {
            if key.strip_prefix(&prefix).is_some_and(|key| !knows(key)) {
                let value = at.value.cloned().unwrap_or(Json::Null);
                findings.unrecognized.insert(pointer_to(&self.map.path, key), value);
            }
        }
    }

    /// The decoder's own settings, without their prefix.
    pub(super) fn decoder_settings(&self) -> BTreeMap<String, String> {
        let prefix = format!("stream.{}.decoder.prop.", self.stream_type);
        let setting =
            |(key, at): (&str, At<'_>)| Some((key.strip_prefix(&prefix)?.to_owned(), at.value.and_then(scalar_text)?));
        self.map.entries().into_iter().filter_map(setting).collect()
    }
}
