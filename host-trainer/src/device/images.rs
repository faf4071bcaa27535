//! Images, jobs and results, each over as many requests as it takes.

use midge_core::Grid;
use midge_core::attack::{Outcome, Prediction};
use midge_core::loss::Loss;
use midge_link::{Attack, Cost, Done, Encoding, Fault, Part, Request, Response};

use super::client::Client;
use super::error::DeviceError;

/// Bytes of elements in a message: on a bad line short messages arrive more often.
const SHORTEST: usize = 16;
/// Messages that have to arrive at the first try before longer ones are tried.
const GOOD: usize = 8;
/// A board that is reset so often during one image will not come to its end.
const RESETS: usize = 20;

/// How long messages are on a line.
#[derive(Debug)]
pub(super) struct Chunks {
    len: usize,
    good: usize,
    most: usize,
}

impl Chunks {
    fn new(most: usize) -> Self {
        Self { len: most, good: 0, most }
    }

    /// Tries before shorter messages are tried.
    fn tries(&self) -> usize {
        if self.len > SHORTEST { 1 } else { usize::MAX }
    }

    fn saw(&mut self, arrived: bool) {
        if !arrived {
            (self.len, self.good) = ((self.len / 2).max(SHORTEST.min(self.most)), 0);
            return;
        }
        self.good += 1;
        if self.good >= GOOD {
            (self.len, self.good) = ((self.len * 2).min(self.most), 0);
        }
    }
}

/// A board that is given images.
pub struct Device {
    /// The line to it.
    pub client: Client,
    chunks: Chunks,
    /// The image that the board has, unless it was reset, and how often the line had been opened again then.
    has: (Vec<f32>, usize),
}

/// Logits of an image, and the gradient of a loss with respect to its pixels.
pub type Slope = (Vec<f32>, Vec<f32>);

/// What an attack on a board's model came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Attacked {
    /// The adversarial image.
    pub adversarial: Vec<f32>,
    /// What the board read before and after.
    pub outcome: Outcome,
    /// What it took of the board: ticks of all jobs, and the most stack of any.
    pub cost: Cost,
}

impl Device {
    /// A board that has said who it is.
    pub fn new(client: Client) -> Self {
        let chunks = Chunks::new(client.info().chunk);
        Self { client, chunks, has: (Vec::new(), 0) }
    }

    /// Class and logits of an image, and what they cost.
    ///
    /// # Errors
    /// Those of [`Client::ask`], and a board that is reset again and again.
    pub fn logits(&mut self, image: &[f32]) -> Result<(Vec<f32>, Cost), DeviceError> {
        let classes = self.client.info().input.classes;
        self.with_image(image, |device| {
            let (_, cost) = device.job(&Request::Logits)?;
            Ok((device.get(Part::Logits, Encoding::F32, classes)?, cost))
        })
    }

    /// The class that the board reads in an image.
    ///
    /// # Errors
    /// Those of [`Self::logits`].
    pub fn class(&mut self, image: &[f32]) -> Result<usize, DeviceError> {
        let port = self.client.port();
        self.with_image(image, |device| match device.job(&Request::Classify)?.0 {
            Done::Class { class, .. } => Ok(usize::from(class)),
            _ => Err(DeviceError::Nonsense { port: port.clone() }),
        })
    }

    /// Logits of an image and the gradient of a loss at a class with respect to its pixels, and what they cost.
    ///
    /// # Errors
    /// Those of [`Self::logits`], and a board that gives no gradient.
    pub fn gradient(&mut self, (loss, class): (Loss, usize), image: &[f32]) -> Result<(Slope, Cost), DeviceError> {
        let request = Request::Gradient { label: short(class), loss: midge_link::Loss::of(loss) };
        let classes = self.client.info().input.classes;
        self.with_image(image, |device| {
            let (_, cost) = device.job(&request)?;
            let logits = device.get(Part::Logits, Encoding::F32, classes)?;
            Ok(((logits, device.get(Part::Image, Encoding::F32, image.len())?), cost))
        })
    }

    /// The board's own attack on an image.
    pub(super) fn attack_on_board(
        &mut self,
        attack: Attack,
        (image, label): (&[f32], usize),
    ) -> Result<Attacked, DeviceError> {
        let request = Request::Attack { attack, label: short(label) };
        let encoding = if self.client.info().input.grid.is_some() { Encoding::I8 } else { Encoding::F32 };
        let port = self.client.port();
        self.with_image(image, |device| {
            let (done, cost) = device.job(&request)?;
            let outcome = outcome(&done).ok_or_else(|| DeviceError::Nonsense { port: port.clone() })?;
            Ok(Attacked { adversarial: device.get(Part::Image, encoding, image.len())?, outcome, cost })
        })
    }

    /// Does some work with an image that the board has; again from the start if the board has lost it.
    fn with_image<R>(
        &mut self,
        image: &[f32],
        mut work: impl FnMut(&mut Self) -> Result<R, DeviceError>,
    ) -> Result<R, DeviceError> {
        for _ in 0..RESETS {
            match self.put(image).and_then(|()| work(self)) {
                Err(DeviceError::Fault {
                    fault: Fault::Gap { .. } | Fault::NoImage { .. } | Fault::NoResult, ..
                }) => self.has.0.clear(),
                result => return result,
            }
        }
        Err(DeviceError::Resets { port: self.client.port(), resets: RESETS })
    }

    /// Asks for a job until it is done.
    fn job(&mut self, request: &Request<'_>) -> Result<(Done, Cost), DeviceError> {
        self.client.ask(request, |response| match response {
            Response::Done { done, cost } => Some((done, cost)),
            _ => None,
        })
    }

    /// Gives the board an image, or what is new in it: a search asks about many images that differ in a few pixels.
    fn put(&mut self, image: &[f32]) -> Result<(), DeviceError> {
        let reopened = self.client.reopened();
        let there = if self.has.1 == reopened { std::mem::take(&mut self.has.0) } else { Vec::new() };
        let differs = |index: usize| there.get(index).is_none_or(|there| there.to_bits() != image[index].to_bits());
        // The first element begins another image.
        let is_part = there.len() == image.len() && !differs(0);
        let is_new = |index: &usize| !is_part || differs(*index);
        let encoding = encoding_of(image, self.client.info().input.grid);
        let bytes = encode(image, encoding, self.client.info().input.grid);
        let size = encoding.bytes();
        let mut sent = 0;
        while let Some(start) = (sent..image.len()).find(is_new) {
            let most = start + (self.chunks.len / size).max(1).min(image.len() - start);
            let count = (start..most).rfind(is_new).map_or(1, |last| last + 1 - start);
            let request = Request::Put {
                encoding,
                offset: u32::try_from(start).unwrap_or(u32::MAX),
                bytes: &bytes[start * size..(start + count) * size],
            };
            let stored = |response: Response<'_>| match response {
                Response::Stored { filled } => Some(filled as usize),
                _ => None,
            };
            let arrived = self.client.try_to_ask(&request, self.chunks.tries(), stored)?.is_some();
            self.chunks.saw(arrived);
            sent = if arrived { start + count } else { start };
        }
        if is_part && self.client.reopened() != reopened {
            // Whoever is at the end of the line now may have another image.
            return self.put(image);
        }
        self.has = (image.to_vec(), reopened);
        Ok(())
    }

    /// Reads a result of so many elements.
    fn get(&mut self, part: Part, encoding: Encoding, len: usize) -> Result<Vec<f32>, DeviceError> {
        let (grid, size) = (self.client.info().input.grid, encoding.bytes());
        let mut elements: Vec<f32> = Vec::with_capacity(len);
        while elements.len() < len {
            let count = (self.chunks.len / size).max(1).min(len - elements.len()).min(usize::from(u8::MAX));
            let offset = u32::try_from(elements.len()).unwrap_or(u32::MAX);
            let request = Request::Get { part, encoding, offset, count: count as u8 };
            let read = |response: Response<'_>| match response {
                Response::Elements { offset: from, bytes } if from == offset => {
                    let found: Vec<f32> = decode(bytes, encoding, grid).collect();
                    (1..=count).contains(&found.len()).then_some(found)
                }
                _ => None,
            };
            let found = self.client.try_to_ask(&request, self.chunks.tries(), read)?;
            self.chunks.saw(found.is_some());
            elements.extend(found.into_iter().flatten());
        }
        Ok(elements)
    }
}

/// What a board says of its attack.
fn outcome(done: &Done) -> Option<Outcome> {
    let &Done::Attack { before, after, zero_gradient_steps, largest_change, target } = done else { return None };
    let of = |found: midge_link::Prediction| Prediction {
        class: usize::from(found.class),
        confidence: found.confidence,
        loss: found.loss,
    };
    Some(Outcome {
        before: of(before),
        after: of(after),
        zero_gradient_steps: zero_gradient_steps as usize,
        largest_change,
        target: target.map(usize::from),
    })
}

fn short(class: usize) -> u16 {
    u16::try_from(class).unwrap_or(u16::MAX)
}

/// The shortest way to write an image down without losing a bit.
fn encoding_of(image: &[f32], grid: Option<Grid>) -> Encoding {
    let is_exact = |encoding| {
        let bytes = encode(image, encoding, grid);
        decode(&bytes, encoding, grid).zip(image).all(|(read, x)| read.to_bits() == x.to_bits())
    };
    match grid {
        Some(_) if is_exact(Encoding::I8) => Encoding::I8,
        _ if is_exact(Encoding::U8) => Encoding::U8,
        _ => Encoding::F32,
    }
}

fn encode(image: &[f32], encoding: Encoding, grid: Option<Grid>) -> Vec<u8> {
    match encoding {
        Encoding::F32 => image.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Encoding::U8 => image.iter().map(|x| (x * 255.0).round() as u8).collect(),
        Encoding::I8 => image.iter().map(|x| grid.map_or(0, |grid| grid.round(*x)) as u8).collect(),
    }
}

fn decode(bytes: &[u8], encoding: Encoding, grid: Option<Grid>) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(encoding.bytes()).map(move |bytes| match (encoding, bytes) {
        (Encoding::F32, [a, b, c, d]) => f32::from_le_bytes([*a, *b, *c, *d]),
        (Encoding::U8, [byte]) => f32::from(*byte) / 255.0,
        (_, [byte, ..]) => grid.map_or(0.0, |grid| grid.value(*byte as i8)),
        _ => f32::NAN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_written_the_shortest_exact_way() {
        let grid = Some(Grid { scale: 0.5, zero_point: 3 });
        let pixels = [0.0, 1.0 / 255.0, 1.0, 128.0 / 255.0];
        assert_eq!(encoding_of(&pixels, None), Encoding::U8);
        assert_eq!(encoding_of(&[0.0, 0.1], None), Encoding::F32);
        assert_eq!(encoding_of(&[-0.0], None), Encoding::F32);
        assert_eq!(encoding_of(&[-65.5, 0.5, 62.0], grid), Encoding::I8);
        assert_eq!(encoding_of(&[0.25], grid), Encoding::F32);
        for (image, encoding) in [(&pixels[..], Encoding::U8), (&[0.1, -7.0], Encoding::F32)] {
            assert_eq!(decode(&encode(image, encoding, None), encoding, None).collect::<Vec<_>>(), image);
        }
    }

    #[test]
    fn messages_get_shorter_on_a_bad_line_and_longer_on_a_good_one() {
        let mut chunks = Chunks::new(240);
        assert_eq!((chunks.len, chunks.tries()), (240, 1));
        (0..9).for_each(|_| chunks.saw(false));
        assert_eq!((chunks.len, chunks.tries()), (SHORTEST, usize::MAX));
        (0..GOOD).for_each(|_| chunks.saw(true));
        assert_eq!(chunks.len, 2 * SHORTEST);
        (0..9 * GOOD).for_each(|_| chunks.saw(true));
        assert_eq!(chunks.len, 240);
        let mut small = Chunks::new(8);
        small.saw(false);
        assert_eq!((small.len, small.tries()), (8, usize::MAX));
    }
}
