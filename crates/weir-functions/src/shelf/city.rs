//! CityHash 1.1 of 128 bits, and of 64 with two seeds; the plain ones are a library's. The shapes of the rounds and the
//! constants are the algorithm's.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const MUL: u64 = 0x9ddf_ea08_eb38_2d69;

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn half(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")))
}

fn mixed(value: u64) -> u64 {
    value ^ value >> 47
}

fn of_two_by(one: u64, two: u64, by: u64) -> u64 {
    let first = mixed((one ^ two).wrapping_mul(by));
    mixed((two ^ first).wrapping_mul(by)).wrapping_mul(by)
}

fn of_two(one: u64, two: u64) -> u64 {
    of_two_by(one, two, MUL)
}

/// The hash of 64 bits with two seeds, from the one without any.
pub(super) fn seeded(hash: u64, one: u64, two: u64) -> u64 {
    of_two(hash.wrapping_sub(one), two)
}

/// The same with one seed.
pub(super) fn seeded_once(hash: u64, seed: u64) -> u64 {
    seeded(hash, K2, seed)
}

/// The hash of 64 bits of up to 16 bytes.
fn short(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    match length {
        8.. => {
            let by = K2.wrapping_add(length as u64 * 2);
            let (a, b) = (word(bytes, 0).wrapping_add(K2), word(bytes, length - 8));
            let c = b.rotate_right(37).wrapping_mul(by).wrapping_add(a);
            let d = a.rotate_right(25).wrapping_add(b).wrapping_mul(by);
            of_two_by(c, d, by)
        }
        4..8 => {
            let by = K2.wrapping_add(length as u64 * 2);
            of_two_by((length as u64).wrapping_add(half(bytes, 0) << 3), half(bytes, length - 4), by)
        }
        1..4 => {
            let [a, b, c] = [bytes[0], bytes[length >> 1], bytes[length - 1]].map(u64::from);
            let (y, z) = (a + (b << 8), length as u64 + (c << 2));
            mixed(y.wrapping_mul(K2) ^ z.wrapping_mul(K0)).wrapping_mul(K2)
        }
        0 => K2,
    }
}

/// 32 bytes under two seeds.
fn weak(bytes: &[u8], at: usize, mut a: u64, mut b: u64) -> (u64, u64) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|more| word(bytes, at + more));
    a = a.wrapping_add(w);
    b = b.wrapping_add(a).wrapping_add(z).rotate_right(21);
    let before = a;
    a = a.wrapping_add(x).wrapping_add(y);
    b = b.wrapping_add(a.rotate_right(44));
    (a.wrapping_add(z), b.wrapping_add(before))
}

/// Fewer than 128 bytes under a seed of two words.
fn murmur(bytes: &[u8], seed: (u64, u64)) -> (u64, u64) {
    let (mut a, mut b) = seed;
    let (mut c, mut d);
    let length = bytes.len();
    if length <= 16 {
        a = mixed(a.wrapping_mul(K1)).wrapping_mul(K1);
        c = b.wrapping_mul(K1).wrapping_add(short(bytes));
        d = mixed(a.wrapping_add(if length >= 8 { word(bytes, 0) } else { c }));
    } else {
        c = of_two(word(bytes, length - 8).wrapping_add(K1), a);
        d = of_two(b.wrapping_add(length as u64), c.wrapping_add(word(bytes, length - 16)));
        a = a.wrapping_add(d);
        // The last 16 bytes are in already.
        for at in (0..length - 16).step_by(16) {
            a = (a ^ mixed(word(bytes, at).wrapping_mul(K1)).wrapping_mul(K1)).wrapping_mul(K1);
            b ^= a;
            c = (c ^ mixed(word(bytes, at + 8).wrapping_mul(K1)).wrapping_mul(K1)).wrapping_mul(K1);
            d ^= c;
        }
    }
    a = of_two(a, c);
    b = of_two(d, b);
    (a ^ b, of_two(b, a))
}

/// What is carried from block to block.
struct State {
    x: u64,
    y: u64,
    z: u64,
    v: (u64, u64),
    w: (u64, u64),
}

impl State {
    /// 64 bytes.
    fn block(&mut self, bytes: &[u8], at: usize) {
        let Self { x, y, z, v, w } = self;
        *x = x.wrapping_add(*y).wrapping_add(v.0).wrapping_add(word(bytes, at + 8)).rotate_right(37).wrapping_mul(K1);
        *y = y.wrapping_add(v.1).wrapping_add(word(bytes, at + 48)).rotate_right(42).wrapping_mul(K1);
        *x ^= w.1;
        *y = y.wrapping_add(v.0).wrapping_add(word(bytes, at + 40));
        *z = z.wrapping_add(w.0).rotate_right(33).wrapping_mul(K1);
        *v = weak(bytes, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        *w = weak(bytes, at + 32, z.wrapping_add(w.1), y.wrapping_add(word(bytes, at + 16)));
        std::mem::swap(z, x);
    }
}

fn under_seed(bytes: &[u8], seed: (u64, u64)) -> (u64, u64) {
    let length = bytes.len();
    if length < 128 {
        return murmur(bytes, seed);
    }
    let (x, y, z) = (seed.0, seed.1, (length as u64).wrapping_mul(K1));
    let v0 = (y ^ K1).rotate_right(49).wrapping_mul(K1).wrapping_add(word(bytes, 0));
    let v1 = v0.rotate_right(42).wrapping_mul(K1).wrapping_add(word(bytes, 8));
    let w0 = y.wrapping_add(z).rotate_right(35).wrapping_mul(K1).wrapping_add(x);
    let w1 = x.wrapping_add(word(bytes, 88)).rotate_right(53).wrapping_mul(K1);
    let mut state = State { x, y, z, v: (v0, v1), w: (w0, w1) };
    let mut at = 0;
    while length - at >= 128 {
        state.block(bytes, at);
        state.block(bytes, at + 64);
        at += 128;
    }
    let State { mut x, mut y, mut z, mut v, mut w } = state;
    x = x.wrapping_add(v.0.wrapping_add(z).rotate_right(49).wrapping_mul(K0));
    y = y.wrapping_mul(K0).wrapping_add(w.1.rotate_right(37));
    z = z.wrapping_mul(K0).wrapping_add(w.0.rotate_right(27));
    w.0 = w.0.wrapping_mul(9);
    v.0 = v.0.wrapping_mul(K0);
    // What is left, 32 bytes at a time from the end.
    let mut done = 0;
    while done < length - at {
        done += 32;
        y = x.wrapping_add(y).rotate_right(42).wrapping_mul(K0).wrapping_add(v.1);
        w.0 = w.0.wrapping_add(word(bytes, length - done + 16));
        x = x.wrapping_mul(K0).wrapping_add(w.0);
        z = z.wrapping_add(w.1).wrapping_add(word(bytes, length - done));
        w.1 = w.1.wrapping_add(v.0);
        v = weak(bytes, length - done, v.0.wrapping_add(z), v.1);
        v.0 = v.0.wrapping_mul(K0);
    }
    x = of_two(x, v.0);
    y = of_two(y.wrapping_add(z), w.0);
    (of_two(x.wrapping_add(v.1), w.1).wrapping_add(y), of_two(x.wrapping_add(w.1), y.wrapping_add(v.1)))
}

/// The hash of 128 bits: its two halves.
pub(super) fn of_128(bytes: &[u8]) -> (u64, u64) {
    match bytes.len() {
        16.. => under_seed(&bytes[16..], (word(bytes, 0), word(bytes, 8).wrapping_add(K0))),
        _ => under_seed(bytes, (K0, K1)),
    }
}
