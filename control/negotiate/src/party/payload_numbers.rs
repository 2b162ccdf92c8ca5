//! The meaning of payload type numbers towards one party. A number keeps its meaning for the life of the leg, in the descriptions of
//! either side (RFC 3264 8.3.2), though the other side of the call may use the same number for another format.

use trestle_sdp::Format;
use trestle_wire::Pt;

/// The first number that has no meaning of its own (RFC 3551 section 6). Below it, numbers keep theirs without help.
const UNASSIGNED: u8 = 35;

/// Numbers as Trestle's descriptions to the party have used them, and the party's own. At most one entry per number.
#[derive(Debug, Clone, Default)]
pub(crate) struct PayloadNumbers {
    ours: Vec<Format>,
    theirs: Vec<Format>,
}

impl PayloadNumbers {
    /// A description of Trestle's is sent to the party.
    pub(crate) fn note_ours(&mut self, formats: &[Format]) {
        note(&mut self.ours, formats);
    }

    /// A description of the party is agreed.
    pub(crate) fn note_theirs(&mut self, formats: &[Format]) {
        note(&mut self.theirs, formats);
    }

    /// Numbers the formats of an offer to the party, which have the numbers of the other side: a format that has a number keeps it, and
    /// another one gets a number that is free.
    pub(crate) fn number_offer(&self, formats: &mut [Format]) {
        let known = || self.ours.iter().chain(&self.theirs);
        let mut numbers: Vec<Option<Pt>> = Vec::with_capacity(formats.len());
        for format in formats.iter() {
            let is_free = |pt: Pt| !numbers.contains(&Some(pt));
            let is_known = known().any(|other| other.pt == format.pt && is_same(other, format));
            let number = if format.pt.get() < UNASSIGNED || is_known {
                Some(format.pt)
            } else {
                known().find(|other| is_same(other, format) && is_free(other.pt)).map(|other| other.pt)
            };
            numbers.push(number.filter(|pt| is_free(*pt)));
        }
        for index in 0..formats.len() {
            if numbers[index].is_none() {
                let is_free = |pt: &Pt| !numbers.contains(&Some(*pt)) && !known().any(|other| other.pt == *pt);
                let own = formats[index].pt;
                numbers[index] = std::iter::once(own).chain((96..=127).filter_map(Pt::new)).find(is_free);
            }
        }
        for (format, number) in formats.iter_mut().zip(numbers) {
            format.pt = number.unwrap_or(format.pt);
        }
    }

    /// Numbers the formats of an answer, which have the numbers of the party's offer (RFC 3264 6.1). Only if Trestle's descriptions
    /// have given such a number another meaning, and the party has not changed its own, does the format keep the number it has there.
    pub(crate) fn number_answer(&self, formats: &mut [Format]) {
        let number = |format: &Format| {
            let differs = self.ours.iter().any(|ours| ours.pt == format.pt && !is_same(ours, format));
            let as_before = self.theirs.iter().any(|theirs| theirs.pt == format.pt && is_same(theirs, format));
            let ours = self.ours.iter().find(|ours| differs && as_before && is_same(ours, format));
            ours.map_or(format.pt, |ours| ours.pt)
        };
        let numbers: Vec<Pt> = formats.iter().map(number).collect();
        let is_unique = |index: usize| !numbers[..index].contains(&numbers[index]);
        if (0..numbers.len()).all(is_unique) {
            formats.iter_mut().zip(numbers).for_each(|(format, number)| format.pt = number);
        }
    }
}

/// Takes over `formats`; a number that has had another meaning gets the new one.
fn note(known: &mut Vec<Format>, formats: &[Format]) {
    known.retain(|old| !formats.iter().any(|new| new.pt == old.pt));
    known.extend(formats.iter().cloned());
}

/// Same encoding, whatever its parameters are.
fn is_same(one: &Format, other: &Format) -> bool {
    one.name.eq_ignore_ascii_case(&other.name) && (one.clock_hz, one.channels) == (other.clock_hz, other.channels)
}

#[cfg(test)]
mod tests {
    use trestle_core::plan::Codec;

    use super::*;

    fn pt(number: u8) -> Pt {
        Pt::new(number).unwrap()
    }

    fn opus(number: u8) -> Format {
        Format::audio(pt(number), Codec::Opus, None)
    }

    fn event(number: u8) -> Format {
        Format::event(pt(number), None)
    }

    fn pcma() -> Format {
        Format::audio(Pt::PCMA, Codec::Pcma, None)
    }

    fn numbers(formats: &[Format]) -> Vec<u8> {
        formats.iter().map(|format| format.pt.get()).collect()
    }

    #[test]
    fn formats_keep_their_numbers_in_offers_and_new_ones_get_free_numbers() {
        type Row = (&'static str, Vec<Format>, Vec<Format>, Vec<Format>, &'static [u8]);
        let rows: [Row; 8] = [
            ("first offer", vec![], vec![], vec![opus(96), pcma(), event(101)], &[96, 8, 101]),
            ("swapped", vec![opus(96), event(101)], vec![], vec![opus(101), event(96)], &[96, 101]),
            ("renumbered", vec![opus(96), event(101)], vec![], vec![opus(111), event(126)], &[96, 101]),
            ("new, on a used number", vec![event(101)], vec![], vec![opus(101)], &[96]),
            ("new, on a free number", vec![event(101)], vec![], vec![opus(111), event(101)], &[111, 101]),
            ("as the party has it", vec![pcma()], vec![opus(107)], vec![opus(111)], &[107]),
            ("not where the party has another", vec![pcma()], vec![event(111)], vec![opus(111)], &[96]),
            ("two of a kind", vec![event(101)], vec![], vec![event(101), event(100)], &[101, 100]),
        ];
        for (what, ours, theirs, mut formats, expected) in rows {
            let mut known = PayloadNumbers::default();
            known.note_ours(&ours);
            known.note_theirs(&theirs);
            known.number_offer(&mut formats);
            assert_eq!(numbers(&formats), expected, "{what}");
            known.note_ours(&formats);
            let before = formats.clone();
            known.number_offer(&mut formats);
            assert_eq!(formats, before, "{what}, again");
        }
    }

    #[test]
    fn an_answer_has_the_numbers_of_the_offer_unless_its_writer_has_given_them_another_meaning_before() {
        type Row = (&'static str, Vec<Format>, Vec<Format>, Vec<Format>, &'static [u8]);
        let rows: [Row; 4] = [
            ("first answer", vec![], vec![], vec![opus(96), event(101)], &[96, 101]),
            ("the party has other numbers from now on", vec![opus(96)], vec![opus(96)], vec![opus(97)], &[97]),
            (
                "the party has swapped its numbers",
                vec![opus(96), event(101)],
                vec![opus(96), event(101)],
                vec![opus(101), event(96)],
                &[101, 96],
            ),
            (
                "it has always had them",
                vec![opus(96), event(101)],
                vec![opus(101), event(96)],
                vec![opus(101), event(96)],
                &[96, 101],
            ),
        ];
        for (what, ours, theirs, mut formats, expected) in rows {
            let mut known = PayloadNumbers::default();
            known.note_ours(&ours);
            known.note_theirs(&theirs);
            known.number_answer(&mut formats);
            assert_eq!(numbers(&formats), expected, "{what}");
        }
    }

    #[test]
    fn numbers_are_unique_even_if_none_is_free() {
        let mut known = PayloadNumbers::default();
        let all: Vec<Format> =
            (96..=127).map(|number| Format { name: format!("x{number}"), ..event(number) }).collect();
        known.note_ours(&all);
        let mut formats = [opus(100)];
        known.number_offer(&mut formats);
        assert_eq!(numbers(&formats), [100]);
    }
}
