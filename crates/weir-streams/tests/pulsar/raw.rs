//! A producer that says what no producer of the library says: parts of a message in chunks, encrypted messages. It writes the
//! protocol's frames by hand, to a topic without partitions.

use crate::broker::{Broker, DEADLINE};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// A field of a number.
fn number(field: u64, number: u64) -> Vec<u8> {
    let mut bytes = vec![];
    varint(&mut bytes, field << 3);
    varint(&mut bytes, number);
    bytes
}

/// A field of bytes.
fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    varint(&mut bytes, field << 3 | 2);
    varint(&mut bytes, content.len() as u64);
    bytes.extend_from_slice(content);
    bytes
}

fn sized(content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

/// What stands beside a payload.
pub(crate) struct Beside(Vec<u8>);

impl Beside {
    /// Part `at` of `of` of a message of so many bytes.
    pub(crate) fn chunk(at: u64, of: u64, total: u64) -> Self {
        Self::part("one-message", at, of, total)
    }

    /// The same of the message of that name.
    pub(crate) fn part(name: &str, at: u64, of: u64, total: u64) -> Self {
        Self([bytes(26, name.as_bytes()), number(27, of), number(28, total), number(29, at)].concat())
    }

    /// Nothing.
    pub(crate) fn none() -> Self {
        Self(vec![])
    }

    /// The payload is encrypted with a key of this name.
    pub(crate) fn encrypted(key: &str) -> Self {
        let keys = [bytes(1, key.as_bytes()), bytes(2, b"sealed")].concat();
        Self([bytes(13, &keys), bytes(15, &[7; 12])].concat())
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self([self.0, other.0].concat())
    }

    pub(crate) fn compressed(self, kind: u64, uncompressed: u64) -> Self {
        Self([self.0, number(8, kind), number(9, uncompressed)].concat())
    }

    pub(crate) fn batch(self, messages: u64) -> Self {
        Self([self.0, number(11, messages)].concat())
    }
}

/// Appends payloads, each an entry of its own, with what stands beside them.
pub(crate) fn append(broker: &Broker, topic: &str, entries: &[(Beside, &[u8])]) {
    let mut stream = TcpStream::connect(&broker.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = format!("persistent://public/default/{topic}");
    let connect = [bytes(1, b"weir-test"), number(4, 12)].concat();
    say(&mut stream, 2, &connect, &[]);
    answered(&mut stream, 3);
    let producer = [bytes(1, name.as_bytes()), number(2, 1), number(3, 1)].concat();
    say(&mut stream, 5, &producer, &[]);
    answered(&mut stream, 17);
    for (at, (beside, payload)) in (0u64..).zip(entries) {
        let send = [number(1, 1), number(2, at), number(3, 1)].concat();
        let metadata = [bytes(1, b"raw"), number(2, at), number(3, 1_700_000_000_000 + at), beside.0.clone()].concat();
        let content = [&sized(&metadata)[..], payload].concat();
        let checked = [&[0x0e, 0x01][..], &crc32c::crc32c(&content).to_be_bytes(), &content].concat();
        say(&mut stream, 6, &send, &checked);
        answered(&mut stream, 7);
    }
}

/// A command's number is that of its field too.
fn say(stream: &mut TcpStream, command: u64, content: &[u8], behind: &[u8]) {
    let command = [number(1, command), bytes(command, content)].concat();
    stream.write_all(&sized(&[&sized(&command)[..], behind].concat())).unwrap();
}

/// Reads commands up to that one; another that is an error ends the test.
fn answered(stream: &mut TcpStream, wanted: u8) {
    loop {
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut frame).unwrap();
        // The size of the command, its type's field, its type.
        let said = frame[5];
        if said == wanted {
            return;
        }
        assert!(![8, 14].contains(&said), "an error: {}", String::from_utf8_lossy(&frame));
    }
}
