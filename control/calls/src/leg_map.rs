//! A value for each leg of a call. Most calls have two legs, and a map would allocate room for eleven.

use trestle_core::LegId;

/// Legs that room is made for at first.
const LEGS: usize = 2;

/// A value for each leg of a call, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LegMap<V>(Vec<(LegId, V)>);

impl<V> Default for LegMap<V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<V> LegMap<V> {
    pub(crate) fn get(&self, leg: LegId) -> Option<&V> {
        self.0.iter().find(|(id, _)| *id == leg).map(|(_, value)| value)
    }

    /// The leg's value; the default is added if it has none.
    pub(crate) fn entry(&mut self, leg: LegId) -> &mut V
    where
        V: Default,
    {
        let index = self.0.iter().position(|(id, _)| *id == leg).unwrap_or_else(|| self.push(leg, V::default()));
        &mut self.0[index].1
    }

    /// Removes the values of these legs.
    pub(crate) fn forget(&mut self, legs: &[LegId]) {
        self.0.retain(|(leg, _)| !legs.contains(leg));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LegId, &V)> {
        self.0.iter().map(|(leg, value)| (*leg, value))
    }

    fn push(&mut self, leg: LegId, value: V) -> usize {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(LEGS);
        }
        self.0.push((leg, value));
        self.0.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leg_has_one_value_until_it_is_forgotten() {
        let mut legs = LegMap::default();
        for leg in [3, 1, 3, 2] {
            *legs.entry(LegId(leg)) += 1;
        }
        *legs.entry(LegId(1)) = 7;
        *legs.entry(LegId(9)) = 5;
        assert_eq!(legs.iter().collect::<Vec<_>>(), [(LegId(3), &2), (LegId(1), &7), (LegId(2), &1), (LegId(9), &5)]);
        legs.forget(&[LegId(1), LegId(4)]);
        assert_eq!((legs.get(LegId(1)), legs.get(LegId(2))), (None, Some(&1)));
        assert_eq!(legs.get(LegId(9)), Some(&5));
    }

    #[test]
    fn two_legs_take_the_room_of_two() {
        let mut legs: LegMap<[u64; 8]> = LegMap::default();
        legs.entry(LegId(0));
        legs.entry(LegId(1));
        assert_eq!(legs.0.capacity(), 2);
    }
}
