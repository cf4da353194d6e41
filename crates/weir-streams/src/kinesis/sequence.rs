//! Sequence numbers, and the offsets that stand for them.
//!
//! A sequence number has 186 bits: when its shard was made, a counter that only grows, when the record came, the shard, a
//! version (2). Within a shard the counter alone orders records and tells them apart; it has 63 bits: it is the offset. From
//! an offset a sequence number is made that sorts right before the record's own, out of the one that the shard begins with.
//! Numbers of another form are refused.

/// An integer of 256 bits, the lowest 32 first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wide([u32; 8]);

impl Wide {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let mut limbs = [0_u32; 8];
        for letter in text.chars() {
            let mut carry = u64::from(letter.to_digit(10)?);
            for limb in &mut limbs {
                carry += u64::from(*limb) * 10;
                (*limb, carry) = (carry as u32, carry >> 32);
            }
            if carry != 0 {
                return None;
            }
        }
        Some(Self(limbs))
    }

    fn text(mut self) -> String {
        const PART: u64 = 1_000_000_000;
        let mut parts = vec![];
        while self.0 != [0; 8] {
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let value = rest << 32 | u64::from(*limb);
                (*limb, rest) = ((value / PART) as u32, value % PART);
            }
            parts.push(rest);
        }
        let first = parts.pop().unwrap_or(0).to_string();
        parts.iter().rev().fold(first, |text, part| text + &format!("{part:09}"))
    }

    /// The lower and the higher half.
    fn halves(self) -> (u128, u128) {
        let half = |limbs: &[u32]| limbs.iter().rev().fold(0_u128, |half, limb| half << 32 | u128::from(*limb));
        (half(&self.0[..4]), half(&self.0[4..]))
    }

    fn of_halves(low: u128, high: u128) -> Self {
        let limb = |at: usize| if at < 4 { (low >> (32 * at)) as u32 } else { (high >> (32 * (at - 4))) as u32 };
        Self(std::array::from_fn(limb))
    }
}

/// The counter stands above this many bits.
const BELOW: u32 = 80;
/// And this many of its bits stand in the lower half.
const IN_LOW: u32 = 128 - BELOW;
const IN_HIGH: u32 = 64 - IN_LOW;

/// The sequence number that a shard begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shard(Wide);

impl Shard {
    /// `None` where it is not of the form that is known.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = Wide::parse(text)?;
        let (low, high) = number.halves();
        // Bit 185 is the highest, the last four are the version.
        (high >> (185 - 128) == 1 && low & 0xf == 2).then_some(Self(number))
    }

    /// The counter of a record of this shard; `None` where it is of another shard or form.
    pub(super) fn counter(self, text: &str) -> Option<u64> {
        let (low, high) = Shard::parse(text)?.0.halves();
        let (_, own) = self.0.halves();
        if high >> IN_HIGH != own >> IN_HIGH {
            return None;
        }
        let counter = ((low >> BELOW) | (high & ((1 << IN_HIGH) - 1)) << IN_LOW) as u64;
        (counter >> 63 == 0).then_some(counter)
    }

    /// A sequence number that sorts before that of the record with this counter, and behind all before it.
    pub(super) fn before(self, counter: u64) -> String {
        let (low, high) = self.0.halves();
        let counter = u128::from(counter);
        let low = low & ((1 << BELOW) - 1) | counter << BELOW;
        let high = high >> IN_HIGH << IN_HIGH | counter >> IN_LOW;
        Wide::of_halves(low, high).text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two records of one shard, a minute apart, and one of another, as the service's documentation shows them.
    const ONE: &str = "49590338271490256608559692538361571095921575989136588898";
    const OTHER: &str = "49590338271490256608559692540925702759324208523137515618";
    const FOREIGN: &str = "49543463076548007577105092703039560359975228518395019266";

    #[test]
    fn numbers_are_written_as_they_were_read() {
        for text in ["0", "7", "999999999", "1000000000", "4294967296", ONE, OTHER, FOREIGN] {
            assert_eq!(Wide::parse(text).unwrap().text(), text);
        }
        assert_eq!(Wide::parse(""), None);
        assert_eq!(Wide::parse("12x"), None);
        assert_eq!(Wide::parse(&"9".repeat(80)), None, "more than 256 bits");
    }

    #[test]
    fn counters_order_the_records_of_a_shard() {
        let shard = Shard::parse(ONE).unwrap();
        let (one, other) = (shard.counter(ONE).unwrap(), shard.counter(OTHER).unwrap());
        assert_eq!((one, other), (1_734_642_199, 1_734_644_320));
        assert_eq!(shard.counter(FOREIGN), None, "of another shard");
        assert_eq!(shard.counter("12"), None);
        assert_eq!(Shard::parse("12"), None);
    }

    #[test]
    fn a_number_is_made_that_stands_before_a_record_and_behind_all_others() {
        let shard = Shard::parse(ONE).unwrap();
        // Of the same shard: the counter is 0, the time its beginning.
        let begins = Shard(Wide::of_halves(0x62_0000_0062, shard.0.halves().1 >> 16 << 16));
        for counter in [0, 1, 1_734_642_199, 1 << 48, (1 << 63) - 1] {
            let made = begins.before(counter);
            assert_eq!(begins.counter(&made), Some(counter));
            assert_eq!(made.len(), ONE.len());
            if counter > 0 {
                assert!(made > begins.before(counter - 1));
            }
        }
        assert!(*begins.before(1_734_642_199) < *ONE && *begins.before(1_734_642_200) > *ONE);
    }
}
