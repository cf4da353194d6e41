//! Records of a topic that nobody has described, batch by batch: the format is guessed from the first batch that tells it.

use super::{
    InferRequest, Read, Record, check_header,
    registered::{plain_avro, registered},
    sample::Sample,
    shape,
    shape::Shape,
};
use std::collections::HashMap;
use weir_types::NextOffset;

/// What became of each message: a record, or why there is none; nothing of one without a value.
pub(crate) type Looked = Vec<Option<Result<Record, String>>>;

/// Looks at messages of one topic.
pub(crate) struct Looker {
    topic: String,
    request: InferRequest,
    shape: Option<Shape>,
    notes: Vec<String>,
    said_other: bool,
}

impl Looker {
    /// Of a topic of which nothing was seen yet.
    pub(crate) fn new(topic: &str, request: InferRequest) -> Self {
        Self { topic: topic.to_owned(), request, shape: None, notes: vec![], said_other: false }
    }

    /// Why the format is thought to be what it is, said once.
    pub(crate) fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Looks at a batch.
    ///
    /// # Errors
    /// The format that was asked for cannot be looked into, or its registry was not named.
    pub(crate) async fn look(&mut self, samples: &[Sample]) -> Result<Looked, String> {
        let values: Vec<&Sample> = samples.iter().filter(|sample| sample.value.is_some()).collect();
        if values.is_empty() {
            return Ok(samples.iter().map(|_| None).collect());
        }
        let shape = self.shape_of(&values)?;
        let read = match &shape {
            Shape::Json => Read::json(&values),
            Shape::Csv { delimiter, in_message, names, .. } => Read::csv(&values, *delimiter, *in_message, names),
            Shape::Avro => match plain_avro(&self.topic, &values, &self.request).await {
                Ok(read) => read,
                Err(why) => return Ok(all(samples, &why)),
            },
            Shape::Registered { .. } => {
                let ids: std::collections::BTreeSet<u32> =
                    values.iter().filter_map(|sample| shape::schema_id(sample.value.as_deref()?)).collect();
                if ids.is_empty() {
                    let why = "it does not begin with a zero byte and the number of a schema";
                    return Ok(all(samples, why));
                }
                // What is said of each batch was said of the first.
                match registered(&self.topic, &values, &ids, &self.request, &mut vec![]).await {
                    Ok(read) => read,
                    Err(why) => return Ok(all(samples, &why)),
                }
            }
            Shape::Other(seen) => {
                // What to do about it is said once; each message says what it is itself.
                if !std::mem::replace(&mut self.said_other, true) {
                    self.notes.push(format!("messages are {seen}"));
                }
                return Ok(samples.iter().map(|sample| sample.value.as_deref().map(alone)).collect());
            }
        };
        let mut records: HashMap<(u32, NextOffset), Record> = HashMap::with_capacity(read.records.len());
        for (record, sample) in read.records {
            records.insert((sample.partition, sample.offset), record);
        }
        let of = |sample: &Sample| {
            let value = sample.value.as_deref()?;
            let found = records.remove(&(sample.partition, sample.offset));
            Some(found.ok_or_else(|| unreadable(read.decoder, value, &shape)))
        };
        Ok(samples.iter().map(of).collect())
    }

    fn shape_of(&mut self, values: &[&Sample]) -> Result<Shape, String> {
        if let Some(shape) = &self.shape {
            return Ok(shape.clone());
        }
        let mut notes = vec![];
        let shape = self.request.shape_of(values, &mut notes)?;
        if matches!(shape, Shape::Registered { .. }) && !self.request.names_registry() {
            return Err(
                "its messages name schemas of a registry: say where it is with --registry http://host:8081".to_owned()
            );
        }
        notes.extend(check_header(&self.request, &shape)?);
        // What tells nothing is asked again with the next batch.
        if !matches!(shape, Shape::Other(_)) {
            self.shape = Some(shape.clone());
            self.notes.extend(notes);
        }
        Ok(shape)
    }
}

fn all(samples: &[Sample], why: &str) -> Looked {
    samples.iter().map(|sample| sample.value.as_ref().map(|_| Err(why.to_owned()))).collect()
}

/// A value of a topic whose format cannot be guessed: a record where it is an object, else what it is.
fn alone(value: &[u8]) -> Result<Record, String> {
    shape::json_object(value).ok_or_else(|| {
        let seen = shape::other(&[value]);
        format!("it is {}", seen.split([':', '(']).next().unwrap_or_default().trim_end())
    })
}

/// Why a value is no record of that format.
fn unreadable(decoder: &str, value: &[u8], shape: &Shape) -> String {
    if let Shape::Csv { delimiter, in_message, names, .. } = shape {
        let Some(line) = std::str::from_utf8(value).ok().and_then(|text| text.lines().nth(usize::from(*in_message)))
        else {
            return "is no line of text".to_owned();
        };
        let cells = shape::cells(line, *delimiter);
        return match cells.len() {
            0 => "is no line of cells: a quote is not closed, or it is empty".to_owned(),
            count if count == names.len() => "holds the names of the cells".to_owned(),
            count => format!("has {count} cells between {delimiter:?}, and {} are named", names.len()),
        };
    }
    if matches!(shape, Shape::Registered { .. }) {
        return match shape::schema_id(value) {
            None => "does not begin with a zero byte and the number of a schema, as the others do".to_owned(),
            Some(id) => format!("names schema {id}, and cannot be read by it"),
        };
    }
    match (decoder, serde_json::from_slice::<serde_json::Value>(value)) {
        ("json", Err(error)) => format!("is not JSON: {error}"),
        ("json", Ok(_)) => "is JSON, but no object".to_owned(),
        _ => format!("cannot be read as {decoder} like the others"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(offset: u64, value: Option<&[u8]>) -> Sample {
        let offset = NextOffset::new(offset);
        Sample { partition: 0, offset, timestamp_ms: None, key: None, value: value.map(<[u8]>::to_vec) }
    }

    #[tokio::test]
    async fn the_format_is_kept_once_it_is_known() {
        let mut looker = Looker::new("t", InferRequest::default());
        let looked = looker.look(&[sample(0, Some(b"hello")), sample(1, None)]).await.unwrap();
        assert!(
            matches!(&looked[..], [Some(Err(why)), None] if why == "it is text, but neither JSON objects nor cells")
        );
        let told = looker.look(&[sample(7, Some(b"again"))]).await.unwrap();
        assert!(matches!(&told[..], [Some(Err(_))]));
        let notes = looker.notes();
        assert!(notes.len() == 1 && notes[0].contains("name the format with --format"), "{notes:?}");
        // Among others each says what it is.
        let looked = looker
            .look(&[sample(8, Some(b"a b")), sample(9, Some(b"[1]")), sample(10, Some(&[1, 0xff]))])
            .await
            .unwrap();
        let why: Vec<&str> =
            looked.iter().map(|looked| looked.as_ref().unwrap().as_ref().unwrap_err().as_str()).collect();
        assert_eq!(
            why,
            ["it is text, but neither JSON objects nor cells", "it is JSON that is no object", "it is binary"]
        );
        let batch = [sample(2, Some(b"{\"a\":1}")), sample(3, Some(b"{\"a\":")), sample(4, Some(b"{\"b\":[1]}"))];
        let looked = looker.look(&batch).await.unwrap();
        assert_eq!(looked[0].as_ref().unwrap().as_ref().unwrap()["a"], 1);
        assert!(looked[1].as_ref().unwrap().as_ref().unwrap_err().contains("is not JSON: EOF"));
        assert!(looker.notes()[0].contains("JSON objects"));
        // A batch of lists is no batch of another format.
        let looked = looker.look(&[sample(5, Some(b"[1]"))]).await.unwrap();
        assert_eq!(looked[0].as_ref().unwrap().as_ref().unwrap_err(), "is JSON, but no object");
    }

    #[tokio::test]
    async fn names_of_cells_are_held_against_the_cells() {
        let request = |header: &str| InferRequest { header: Some(header.into()), ..InferRequest::default() };
        let lines = [sample(0, Some(b"1;DE;5")), sample(1, Some(b"2;FR;6")), sample(2, Some(b"3;FR"))];
        for (header, said) in [("id;country", "has 2 names between ';'"), ("id,country,n", "has 1 name between ';'")] {
            let error = Looker::new("t", request(header)).look(&lines[..2]).await.unwrap_err();
            assert!(error.contains(said) && error.contains("have 3 cells"), "{error}");
        }
        let mut looker = Looker::new("t", request("id;country;n"));
        let looked = looker.look(&lines[..2]).await.unwrap();
        assert_eq!(looked[1].as_ref().unwrap().as_ref().unwrap()["country"], "FR");
        let looked = looker.look(&lines[2..]).await.unwrap();
        assert_eq!(looked[0].as_ref().unwrap().as_ref().unwrap_err(), "has 2 cells between ';', and 3 are named");
        let mut json = Looker::new("t", request("a,b"));
        json.look(&[sample(0, Some(b"{}"))]).await.unwrap();
        assert!(json.notes().iter().any(|note| note.contains("--header is passed over")));
    }

    #[tokio::test]
    async fn messages_of_a_registry_need_one() {
        let mut looker = Looker::new("t", InferRequest::default());
        let error = looker.look(&[sample(0, Some(b"\0\0\0\0\x07ab"))]).await.unwrap_err();
        assert!(error.contains("--registry http"), "{error}");
        let request = InferRequest { format: Some("orc".into()), ..InferRequest::default() };
        let error = Looker::new("t", request).look(&[sample(0, Some(b"x"))]).await.unwrap_err();
        assert!(error.contains("format orc cannot be looked into"), "{error}");
    }
}
