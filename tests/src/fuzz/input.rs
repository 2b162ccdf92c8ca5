//! The fuzzer's bytes as a stream of choices.

/// Bytes taken from the front. Once they are used up everything is zero, so that each prefix is a whole input.
#[derive(Debug, Clone)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(super) fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// True once in two.
    pub(super) fn flag(&mut self) -> bool {
        self.byte() & 1 != 0
    }

    /// A number below `n`, which is at most 256.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// One of `choices`.
    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// As many bytes as the next byte demands, or what is left.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte());
        self.take(len)
    }

    /// The next `len` bytes, or what is left.
    pub(super) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let taken = self.take(N);
        array[..taken.len()].copy_from_slice(taken);
        array
    }
}

/// Spoils a copy of real bytes: overwrites, cuts or grows it as the input decides.
pub(super) fn mutate(input: &mut Input<'_>, bytes: &mut Vec<u8>) {
    for _ in 0..=input.below(4) {
        let at = usize::from(input.u16()) % (bytes.len() + 1);
        match input.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.splice(at..at, input.bytes().iter().copied()).for_each(drop),
            2 => {
                let end = (at + input.below(8)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let value = input.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= value;
                }
            }
        }
    }
}
