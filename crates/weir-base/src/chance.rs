//! Chance comes from here, so that a run repeats itself from its seed.

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// A stream of chance.
#[derive(Debug, Clone)]
pub struct Chance(SmallRng);

impl Chance {
    /// The same numbers for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// Numbers that nobody can repeat.
    #[must_use]
    pub fn from_entropy() -> Self {
        Self(SmallRng::from_rng(&mut rand::rng()))
    }

    /// 64 bits.
    pub fn u64(&mut self) -> u64 {
        self.0.random()
    }

    /// A number in `0..n`; 0 for an empty range.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.0.random_range(0..n) }
    }

    /// A number in [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// True with probability `p`.
    pub fn hit(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_bounds_hold() {
        let draw = |seed| {
            let mut chance = Chance::seeded(seed);
            (0..100).map(|_| (chance.u64(), chance.below(3), chance.hit(0.5))).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).iter().all(|(_, below, _)| *below < 3));
        let mut chance = Chance::from_entropy();
        assert_eq!((chance.below(0), chance.hit(0.0), chance.hit(1.0)), (0, false, true));
        assert!((0..100).all(|_| (0.0..1.0).contains(&chance.unit())));
    }
}
