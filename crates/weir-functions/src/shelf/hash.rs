//! Hashes of bytes. A text stands for the bytes that its hexadecimal digits write, as everywhere; `toUtf8(text)` gives those
//! of its letters.

use super::{
    Function, city,
    gives::{BYTES, INT, LONG, STRING},
};
use crate::{
    datum::{Datum, Fault, text},
    java_text::hex,
};
use bumpalo::Bump;
use md5::Digest as _;
use sha2::Digest as _;

fn input<'a>(datum: Datum<'a>, arena: &'a Bump) -> Result<&'a [u8], Fault> {
    datum
        .bytes(arena)
        .map_err(|_| Fault::new(format!("bytes are expected, got {}; toUtf8(x) gives those of a text", datum.shown())))
}

fn hex_of<'a>(digest: &[u8], arena: &'a Bump) -> Datum<'a> {
    let mut out = Vec::with_capacity(digest.len() * 2);
    hex(digest, &mut out);
    text(&String::from_utf8_lossy(&out), arena)
}

/// A hash of bytes, as it is made of the digest or the number.
macro_rules! hashes {
    ($names:expr, $gives:expr, $make:expr) => {
        Function::plain($names, 1, 1, $gives, |args, arena| {
            let make: for<'b> fn(&[u8], &'b Bump) -> Datum<'b> = $make;
            Ok(make(input(args[0], arena)?, arena))
        })
    };
}

/// The hash of a text's letters in UTF-8.
macro_rules! of_text {
    ($names:expr, $gives:expr, $make:expr) => {
        Function::plain($names, 1, 1, $gives, |args, arena| {
            let make: fn(&[u8]) -> i64 = $make;
            Ok(Datum::Long(make(args[0].text(arena).as_bytes())))
        })
    };
}

/// A number of 32 bits, signed as Java's are.
fn int<'a>(number: u32) -> Datum<'a> {
    Datum::Long(i64::from(number as i32))
}

fn long<'a>(number: u64) -> Datum<'a> {
    Datum::Long(number as i64)
}

const FNV_32: (u32, u32) = (0x811c_9dc5, 0x0100_0193);
const FNV_64: (u64, u64) = (0xcbf2_9ce4_8422_2325, 0x0000_0100_0000_01b3);

fn fnv1_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(FNV_32.0, |hash, byte| hash.wrapping_mul(FNV_32.1) ^ u32::from(*byte))
}

fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(FNV_32.0, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(FNV_32.1))
}

fn fnv1_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_64.0, |hash, byte| hash.wrapping_mul(FNV_64.1) ^ u64::from(*byte))
}

fn fnv1a_64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_64.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_64.1))
}

/// Up to eight bytes as a number, the first the lowest.
fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// MurmurHash2 of 32 bits.
#[must_use]
pub fn murmur2(bytes: &[u8], seed: u32) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = seed ^ bytes.len() as u32;
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        hash = (hash ^ little(rest) as u32).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(M);
    hash ^ hash >> 15
}

/// `MurmurHash64A`.
fn murmur2_64(bytes: &[u8], seed: u32) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut hash = u64::from(seed) ^ (bytes.len() as u64).wrapping_mul(M);
    for word in words {
        let mut mixed = u64::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 47;
        hash = (hash ^ mixed.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        hash = (hash ^ little(rest)).wrapping_mul(M);
    }
    hash = (hash ^ hash >> 47).wrapping_mul(M);
    hash ^ hash >> 47
}

/// `MurmurHash3_x86_32`.
#[must_use]
pub fn murmur3_32(bytes: &[u8], seed: u32) -> u32 {
    fn mix(word: u32) -> u32 {
        word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
    }
    let (words, rest) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(seed, |hash, word| {
        (hash ^ mix(u32::from_le_bytes(*word))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    hash ^= mix(little(rest) as u32);
    hash ^= bytes.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn murmur3_end(word: u64) -> u64 {
    let word = (word ^ word >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let word = (word ^ word >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}

/// `MurmurHash3_x64_128`: its two halves. A seed below 0 keeps its sign, as in Guava.
fn murmur3_128(bytes: &[u8], seed: i32) -> (u64, u64) {
    const C1: u64 = 0x87c3_7b91_1142_53d5;
    const C2: u64 = 0x4cf5_ad43_2745_937f;
    let first = |word: u64| word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
    let second = |word: u64| word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
    let (blocks, rest) = bytes.as_chunks::<16>();
    let seed = i64::from(seed) as u64;
    let (mut one, mut two) = (seed, seed);
    for block in blocks {
        one ^= first(little(&block[..8]));
        one = one.rotate_left(27).wrapping_add(two).wrapping_mul(5).wrapping_add(0x52dc_e729);
        two ^= second(little(&block[8..]));
        two = two.rotate_left(31).wrapping_add(one).wrapping_mul(5).wrapping_add(0x3849_5ab5);
    }
    let (low, high) = rest.split_at(rest.len().min(8));
    one ^= first(little(low));
    two ^= second(little(high));
    one ^= bytes.len() as u64;
    two ^= bytes.len() as u64;
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    (one, two) = (murmur3_end(one), murmur3_end(two));
    one = one.wrapping_add(two);
    (one, two.wrapping_add(one))
}

/// The beta of MurmurHash3 for 64-bit machines, which Infinispan and Debezium partition by: its two halves. The bytes that
/// fill no block are numbers with a sign.
#[must_use]
pub fn murmur3_x64(bytes: &[u8], seed: i32) -> (u64, u64) {
    struct State {
        one: u64,
        two: u64,
        c1: u64,
        c2: u64,
    }
    impl State {
        fn block(&mut self, first: u64, second: u64) {
            let Self { one, two, c1, c2 } = self;
            *one ^= first.wrapping_mul(*c1).rotate_left(23).wrapping_mul(*c2);
            *one = one.wrapping_add(*two);
            *two = two.rotate_left(41);
            *two ^= second.wrapping_mul(*c2).rotate_left(23).wrapping_mul(*c1);
            *two = two.wrapping_add(*one);
            *one = one.wrapping_mul(3).wrapping_add(0x52dc_e729);
            *two = two.wrapping_mul(3).wrapping_add(0x3849_5ab5);
            *c1 = c1.wrapping_mul(5).wrapping_add(0x7b7d_159c);
            *c2 = c2.wrapping_mul(5).wrapping_add(0x6bce_6396);
        }
    }
    // Each is shifted to its place with its sign and put over those of the others.
    let signed = |bytes: &[u8]| {
        bytes
            .iter()
            .zip((0..).step_by(8))
            .fold(0, |word, (byte, shift)| word ^ (i64::from(*byte as i8) << shift) as u64)
    };
    let seed = i64::from(seed) as u64;
    let mut state = State {
        one: 0x9368_e53c_2f6a_f274 ^ seed,
        two: 0x586d_cd20_8f7c_d3fd ^ seed,
        c1: 0x87c3_7b91_1142_53d5,
        c2: 0x4cf5_ad43_2745_937f,
    };
    let (blocks, rest) = bytes.as_chunks::<16>();
    for block in blocks {
        state.block(little(&block[..8]), little(&block[8..]));
    }
    if !rest.is_empty() {
        let (low, high) = rest.split_at(rest.len().min(8));
        state.block(signed(low), signed(high));
    }
    let two = state.two ^ bytes.len() as u64;
    let one = state.one.wrapping_add(two);
    let two = two.wrapping_add(one);
    let (one, two) = (murmur3_end(one), murmur3_end(two));
    let one = one.wrapping_add(two);
    (one, two.wrapping_add(one))
}

/// The two halves as bytes, each with its lowest first.
fn halves((one, two): (u64, u64), arena: &Bump) -> Datum<'_> {
    Datum::Bytes(arena.alloc_slice_copy(&[one.to_le_bytes(), two.to_le_bytes()].concat()))
}

/// The same, each with its highest byte first.
fn highest_first((one, two): (u64, u64), arena: &Bump) -> Datum<'_> {
    Datum::Bytes(arena.alloc_slice_copy(&[one.to_be_bytes(), two.to_be_bytes()].concat()))
}

/// The seed of Kafka's partitioner.
pub const KAFKA_SEED: u32 = 0x9747_b28c;

/// The seed that Pinot takes where none is given.
const SEED_64: u32 = 0xe17a_1465;

fn seed(datum: Option<&Datum<'_>>) -> Result<i32, Fault> {
    datum.map_or(Ok(0), |seed| seed.int())
}

pub(super) const FUNCTIONS: &[Function] = &[
    hashes!(&["sha", "sha1"], STRING, |bytes, arena| hex_of(&sha1::Sha1::digest(bytes), arena)),
    // Pinot's is the one of the third family.
    hashes!(&["sha224"], STRING, |bytes, arena| hex_of(&sha3::Sha3_224::digest(bytes), arena)),
    hashes!(&["sha256"], STRING, |bytes, arena| hex_of(&sha2::Sha256::digest(bytes), arena)),
    hashes!(&["sha512"], STRING, |bytes, arena| hex_of(&sha2::Sha512::digest(bytes), arena)),
    hashes!(&["md5"], STRING, |bytes, arena| hex_of(&md5::Md5::digest(bytes), arena)),
    hashes!(&["md5Raw"], BYTES, |bytes, arena| Datum::Bytes(arena.alloc_slice_copy(&md5::Md5::digest(bytes)))),
    hashes!(&["adler32"], INT, |bytes, _| int(adler2::adler32_slice(bytes))),
    hashes!(&["crc32"], INT, |bytes, _| int(crc32fast::hash(bytes))),
    hashes!(&["crc32c"], INT, |bytes, _| int(crc32c::crc32c(bytes))),
    hashes!(&["murmurHash2", "murmur2"], INT, |bytes, _| int(murmur2(bytes, KAFKA_SEED))),
    of_text!(&["murmurHash2UTF8"], INT, |bytes| i64::from(murmur2(bytes, KAFKA_SEED) as i32)),
    Function::plain(&["murmurHash2Bit64"], 1, 2, LONG, |args, arena| {
        let seed = args.get(1).map_or(Ok(SEED_64), |seed| seed.int().map(|seed| seed as u32))?;
        Ok(long(murmur2_64(input(args[0], arena)?, seed)))
    }),
    Function::plain(&["murmurHash3Bit32", "murmur3Bit32", "murmur332"], 1, 2, INT, |args, arena| {
        Ok(int(murmur3_32(input(args[0], arena)?, seed(args.get(1))? as u32)))
    }),
    Function::plain(&["murmurHash3Bit64"], 1, 2, LONG, |args, arena| {
        Ok(long(murmur3_128(input(args[0], arena)?, seed(args.get(1))?).0))
    }),
    Function::plain(&["murmurHash3Bit128"], 1, 2, BYTES, |args, arena| {
        Ok(halves(murmur3_128(input(args[0], arena)?, seed(args.get(1))?), arena))
    }),
    Function::plain(&["murmurHash3X64Bit32"], 1, 2, INT, |args, arena| {
        Ok(int((murmur3_x64(input(args[0], arena)?, seed(args.get(1))?).0 >> 32) as u32))
    }),
    // Pinot's is its hash of 32 bits.
    Function::plain(&["murmurHash3X64Bit64"], 1, 2, LONG, |args, arena| {
        Ok(int((murmur3_x64(input(args[0], arena)?, seed(args.get(1))?).0 >> 32) as u32))
    }),
    Function::plain(&["murmurHash3X64Bit128"], 1, 2, BYTES, |args, arena| {
        Ok(highest_first(murmur3_x64(input(args[0], arena)?, seed(args.get(1))?), arena))
    }),
    hashes!(&["cityHash32"], LONG, |bytes, _| int(cityhasher::hash(bytes))),
    Function::plain(&["cityHash64"], 1, 3, LONG, |args, arena| {
        let plain: u64 = cityhasher::hash(input(args[0], arena)?);
        let seed = |at: usize| args[at].long().map(|seed| seed as u64);
        Ok(long(match args.len() {
            1 => plain,
            2 => city::seeded_once(plain, seed(1)?),
            _ => city::seeded(plain, seed(1)?, seed(2)?),
        }))
    }),
    hashes!(&["cityHash128"], BYTES, |bytes, arena| highest_first(city::of_128(bytes), arena)),
    Function::plain(&["xxHash32"], 1, 2, INT, |args, arena| {
        Ok(int(xxhash_rust::xxh32::xxh32(input(args[0], arena)?, seed(args.get(1))? as u32)))
    }),
    Function::plain(&["xxHash64"], 1, 2, LONG, |args, arena| {
        let seed = args.get(1).map_or(Ok(0), |seed| seed.long())?;
        Ok(long(xxhash_rust::xxh64::xxh64(input(args[0], arena)?, seed as u64)))
    }),
    hashes!(&["fnv1Hash32", "fnv132"], INT, |bytes, _| int(fnv1_32(bytes))),
    hashes!(&["fnv1aHash32", "fnv1a32"], INT, |bytes, _| int(fnv1a_32(bytes))),
    hashes!(&["fnv1Hash64", "fnv164"], LONG, |bytes, _| long(fnv1_64(bytes))),
    hashes!(&["fnv1aHash64", "fnv1a64"], LONG, |bytes, _| long(fnv1a_64(bytes))),
    of_text!(&["fnv1Hash32UTF8"], INT, |bytes| i64::from(fnv1_32(bytes) as i32)),
    of_text!(&["fnv1aHash32UTF8"], INT, |bytes| i64::from(fnv1a_32(bytes) as i32)),
    of_text!(&["fnv1Hash64UTF8"], LONG, |bytes| fnv1_64(bytes) as i64),
    of_text!(&["fnv1aHash64UTF8"], LONG, |bytes| fnv1a_64(bytes) as i64),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shelf::{Prepared, function};

    fn of(name: &str, bytes: &[u8]) -> String {
        let arena = Bump::new();
        let hash = Prepared::new(function(name).unwrap(), &[None]).unwrap();
        hash.call(&[Datum::Bytes(bytes)], &arena).unwrap().text(&arena).to_owned()
    }

    /// The verification value that the author of the Murmur hashes publishes for each: the hash of the hashes of growing
    /// keys under falling seeds.
    fn verification(bytes: usize, hash: impl Fn(&[u8], u32) -> Vec<u8>) -> u32 {
        let key: Vec<u8> = (0..=255).collect();
        let hashes: Vec<u8> = (0..256).flat_map(|length| hash(&key[..length], 256 - length as u32)).collect();
        assert_eq!(hashes.len(), 256 * bytes);
        little(&hash(&hashes, 0)[..4]) as u32
    }

    #[test]
    fn murmur_hashes_verify() {
        assert_eq!(verification(4, |key, seed| murmur2(key, seed).to_le_bytes().to_vec()), 0x2786_4c1e);
        assert_eq!(verification(8, |key, seed| murmur2_64(key, seed).to_le_bytes().to_vec()), 0x1f0d_3804);
        assert_eq!(verification(4, |key, seed| murmur3_32(key, seed).to_le_bytes().to_vec()), 0xb0f5_7ee3);
        let halves = |(one, two): (u64, u64)| [one.to_le_bytes(), two.to_le_bytes()].concat();
        assert_eq!(verification(16, |key, seed| halves(murmur3_128(key, seed as i32))), 0x6384_ba69);
    }

    /// What Kafka's own tests expect of its partitioner.
    #[test]
    fn murmur2_is_kafkas() {
        for (key, hash) in [("21", -973_932_308), ("foobar", -790_332_482), ("abc", 479_470_107)] {
            assert_eq!(of("murmurHash2", key.as_bytes()), hash.to_string());
        }
    }

    fn called(call: &str) -> String {
        crate::expression::value_text(call).unwrap()
    }

    const FOX: &str = "The quick brown fox jumps over the lazy dog";

    /// The answers of Pinot 1.4.
    #[test]
    fn the_x64_family_is_pinots() {
        for (text, seed, bits_32, bits_128) in [
            ("hello", 0, -438_922_741, "e5d6920b285c4270fabf189416d0b5c8"),
            (FOX, 123, -687_814_040, "d700ca686863623eaf002255ff88d63e"),
            ("hello", -1, 48_936_750, "02eab72efc1273b8c6c56a550564a255"),
        ] {
            assert_eq!(called(&format!("murmurHash3X64Bit32(toUtf8('{text}'), {seed})")), bits_32.to_string());
            assert_eq!(called(&format!("murmurHash3X64Bit64(toUtf8('{text}'), {seed})")), bits_32.to_string());
            assert_eq!(called(&format!("murmurHash3X64Bit128(toUtf8('{text}'), {seed})")), bits_128);
        }
        assert_eq!(called("murmurHash3X64Bit32(toUtf8(''))"), "-1811735039");
    }

    /// The answers of Pinot 1.4.
    #[test]
    fn city_hashes_are_pinots() {
        for (text, hash) in [
            ("", -598_290_054),
            ("a", 1_016_544_589),
            ("abcde", -1_544_329_556),
            ("hello world!!", -1_459_907_245),
            ("hello world, hello world", -538_641_711),
            (FOX, -1_556_494_320),
        ] {
            assert_eq!(of("cityHash32", text.as_bytes()), hash.to_string(), "{text}");
        }
        for (text, hash) in [
            ("", -7_286_425_919_675_154_353_i64),
            ("a", -5_528_939_962_900_187_677),
            ("abcdefgh", -78_300_442_537_744_119),
            ("abcdefghi", 3_687_479_239_766_293_058),
            ("hello world, hello world", -4_072_983_883_327_667_164),
            (FOX, -4_438_171_774_227_658_115),
        ] {
            assert_eq!(of("cityHash64", text.as_bytes()), hash.to_string(), "{text}");
        }
        assert_eq!(called(&format!("cityHash64(toUtf8('{FOX}'), 7)")), "3600338925717982245");
        assert_eq!(called(&format!("cityHash64(toUtf8('{FOX}'), 7, -9)")), "7112716489725071051");
        let long = format!("{FOX}. {FOX}. {FOX}. The quick brown fox");
        for (text, hash) in [
            ("", "3df09dfc64c09a2b3cb540c392e51e29"),
            ("a", "6e97d6bbdfc0a0c452a71e38f43be561"),
            ("abcdefghi", "7b5fd93102612d9161aa40e4e386bd9c"),
            ("hello world, hello world", "4c531387d7b5f40ea0ec804ed5012068"),
            (FOX, "a7f9a86a2d60c968bf1498f876dbe279"),
            (&long, "8475328215ec6f14e115159476d523dc"),
        ] {
            assert_eq!(of("cityHash128", text.as_bytes()), hash, "{text}");
        }
    }

    /// Of the algorithm's own checks: an empty text, and one with and without a seed.
    #[test]
    fn xx_hashes_are_those_of_their_specification() {
        assert_eq!(of("xxHash32", b""), (0x02cc_5d05_u32 as i32).to_string());
        assert_eq!(of("xxHash64", b""), (0xef46_db37_51d8_e999_u64 as i64).to_string());
        assert_eq!(of("xxHash32", b"Nobody inspects the spammish repetition"), (0xe229_3b2f_u32 as i32).to_string());
        assert_eq!(
            of("xxHash64", b"Nobody inspects the spammish repetition"),
            (0xfbce_a83c_8a37_8bf1_u64 as i64).to_string()
        );
        assert_eq!(called("xxHash32(toUtf8(''), 2654435761)"), (0x36b7_8ae7_u32 as i32).to_string());
    }

    /// FIPS 180-4 and FIPS 202 (of "abc"), RFC 1321, RFC 3720 for CRC-32C, the check value of CRC-32, RFC 1950.
    #[test]
    fn digests_are_those_of_the_standards() {
        assert_eq!(of("sha", b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(of("sha224", b"abc"), "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf");
        assert_eq!(of("sha256", b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(of("sha512", b"abc").starts_with("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2"));
        assert_eq!(of("md5", b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(of("md5Raw", b"message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(of("crc32", b"123456789"), (0xcbf4_3926_u32 as i32).to_string());
        assert_eq!(of("crc32c", &[0; 32]), (0x8a91_36aa_u32 as i32).to_string());
        assert_eq!(of("adler32", b"Wikipedia"), 0x11e6_0398.to_string());
    }

    /// The test vectors of the FNV draft.
    #[test]
    fn fnv_hashes_are_those_of_the_draft() {
        assert_eq!((fnv1_32(b""), fnv1_32(b"a"), fnv1_32(b"foobar")), (0x811c_9dc5, 0x050c_5d7e, 0x31f0_b262));
        assert_eq!((fnv1a_32(b"a"), fnv1a_32(b"foobar")), (0xe40c_292c, 0xbf9c_f968));
        assert_eq!((fnv1_64(b"a"), fnv1_64(b"foobar")), (0xaf63_bd4c_8601_b7be, 0x340d_8765_a4dd_a9c2));
        assert_eq!((fnv1a_64(b"a"), fnv1a_64(b"foobar")), (0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8));
    }

    #[test]
    fn a_text_that_is_no_hex_says_what_makes_bytes_of_it() {
        let arena = Bump::new();
        let hash = Prepared::new(function("sha256").unwrap(), &[None]).unwrap();
        let fault = hash.call(&[Datum::Text("hello")], &arena).unwrap_err().to_string();
        assert_eq!(fault, "sha256(..): bytes are expected, got 'hello'; toUtf8(x) gives those of a text");
        assert_eq!(hash.call(&[Datum::Text("616263")], &arena), hash.call(&[Datum::Bytes(b"abc")], &arena));
    }
}
