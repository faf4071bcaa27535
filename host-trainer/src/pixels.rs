//! How images look, whatever their shape: which colour a value has, and which values share a cell of a drawing.
//!
//! One channel is grey, three are red, green and blue. Of any other number the first channel is shown as a heat map.

/// Blue for -1, white for 0, red for 1; told apart also by colour-blind eyes.
pub fn diverging(x: f32) -> [u8; 3] {
    let end: [f32; 3] = if x < 0.0 { [33.0, 102.0, 172.0] } else { [178.0, 24.0, 43.0] };
    let weight = if x.is_nan() { 0.0 } else { x.abs().min(1.0) };
    end.map(|end| (255.0 + (end - 255.0) * weight) as u8)
}

/// Five colours of viridis from 0 to 1 (Smith, van der Walt, Firing: matplotlib, CC0).
const HEAT: [[f32; 3]; 5] =
    [[68.0, 1.0, 84.0], [59.0, 82.0, 139.0], [33.0, 145.0, 140.0], [94.0, 201.0, 98.0], [253.0, 231.0, 37.0]];

/// Dark for 0, bright for 1, also for colour-blind eyes and in print.
fn heat(x: f32) -> [u8; 3] {
    let x = if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) * (HEAT.len() - 1) as f32 };
    let below = (x as usize).min(HEAT.len() - 2);
    let weight = x - below as f32;
    [0, 1, 2].map(|c: usize| (HEAT[below][c] + (HEAT[below + 1][c] - HEAT[below][c]) * weight).round() as u8)
}

/// The colours of the values of images that stand beside each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Look {
    is_heat: bool,
    /// The values of the darkest and of the brightest colour.
    range: [f32; 2],
}

impl Look {
    /// For images of one shape. Pictures are shown as they are. Heat maps and values that are not in [0, 1] fill the
    /// range of the colours.
    pub(crate) fn of([_, _, channels]: [usize; 3], images: &[&[f32]]) -> Self {
        let is_heat = ![1, 3].contains(&channels);
        let step = if is_heat { channels.max(1) } else { 1 };
        let values = images.iter().flat_map(|image| image.iter().step_by(step)).filter(|value| value.is_finite());
        let [low, high] =
            values.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| [low.min(*value), high.max(*value)]);
        // The brightest pixel of a grid may lie the last bit above 1.
        let is_picture = !is_heat && low >= 0.0 && high <= 1.001;
        Self { is_heat, range: if is_picture || low >= high { [0.0, 1.0] } else { [low, high] } }
    }

    /// The colour of a position's values, as [`Cells::values`] gives them.
    pub(crate) fn paint(&self, values: [f32; 3]) -> [u8; 3] {
        let [low, high] = self.range;
        let [first, ..] = values;
        match self.is_heat {
            true => heat((first - low) / (high - low)),
            false => values.map(|value| (((value - low) / (high - low)).clamp(0.0, 1.0) * 255.0).round() as u8),
        }
    }
}

/// The colour of a change of a position's values, in units of eps.
pub(crate) fn paint_change(values: [f32; 3]) -> [u8; 3] {
    diverging(values.iter().sum::<f32>() / 3.0)
}

/// One direction of an image on a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Axis {
    cells: usize,
    /// Values that share a cell.
    step: usize,
    /// Pixels of a cell.
    size: usize,
}

/// The part of a square's side that an image has at least in both directions: a strip is made wide enough to be seen.
const LEAST: usize = 6;

impl Axis {
    /// For `n` values in an image whose longer direction has `longest` of them, on `side` pixels.
    fn fit(n: usize, longest: usize, side: usize) -> Self {
        let (longest, side, least) = (longest.max(1), side.max(1), side.div_ceil(LEAST).max(1));
        let axis = |step: usize, size: usize| Self { cells: n.div_ceil(step), step, size: size.max(1) };
        let same = axis(longest.div_ceil(side), side / longest);
        if n == 0 || same.len() >= least { same } else { axis(n.div_ceil(least), least / n) }
    }

    fn len(self) -> usize {
        self.cells * self.size
    }
}

/// An image as cells of one colour each, enlarged or shrunk by a whole factor, with the same factor in both directions
/// unless it is a strip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cells {
    shape: [usize; 3],
    rows: Axis,
    columns: Axis,
}

impl Cells {
    /// Images of `shape` in a square of `side` pixels.
    pub(crate) fn fit(shape: [usize; 3], side: usize) -> Self {
        let [height, width, _] = shape;
        let longest = height.max(width);
        Self { shape, rows: Axis::fit(height, longest, side), columns: Axis::fit(width, longest, side) }
    }

    /// Pixels of the drawing: width and height.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.columns.len(), self.rows.len())
    }

    /// Pixels of a cell: width and height.
    pub(crate) fn cell(&self) -> (usize, usize) {
        (self.columns.size, self.rows.size)
    }

    /// Column and row of every cell.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, usize)> {
        let columns = self.columns.cells;
        (0..self.rows.cells).flat_map(move |row| (0..columns).map(move |column| (column, row)))
    }

    /// The mean values of a cell: red, green and blue, or three times the first channel. What is missing counts as 0.
    pub(crate) fn values(&self, image: &[f32], (column, row): (usize, usize)) -> [f32; 3] {
        let [height, width, channels] = self.shape;
        let span = |axis: Axis, i: usize, end: usize| i * axis.step..((i + 1) * axis.step).min(end);
        let (rows, columns) = (span(self.rows, row, height), span(self.columns, column, width));
        let count = (rows.len() * columns.len()).max(1) as f32;
        [0, 1, 2].map(|c: usize| {
            let channel = if channels == 3 { c } else { 0 };
            let square = rows.clone().flat_map(|i| columns.clone().map(move |j| (i * width + j) * channels + channel));
            square.map(|at| image.get(at).copied().unwrap_or(0.0)).sum::<f32>() / count
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_is_grey_three_are_colours_and_others_are_a_heat_map() {
        let grey = Look::of([1, 2, 1], &[&[0.2, 0.4]]);
        assert_eq!(
            (grey.paint([0.0; 3]), grey.paint([1.0; 3])),
            ([0; 3], [255; 3]),
            "a picture stays as dark as it is"
        );
        let colour = Look::of([1, 1, 3], &[&[0.0, 0.5, 1.0]]);
        let cells = Cells::fit([1, 1, 3], 1);
        assert_eq!(colour.paint(cells.values(&[0.0, 0.5, 1.0], (0, 0))), [0, 128, 255]);
        for channels in [2, 4] {
            let (mut image, cells) = (vec![9.0; 2 * channels], Cells::fit([1, 2, channels], 2));
            (image[0], image[channels]) = (0.3, 0.4);
            let look = Look::of([1, 2, channels], &[&image]);
            let ends = [(0, 0), (1, 0)].map(|cell| look.paint(cells.values(&image, cell)));
            assert_eq!(ends, [[68, 1, 84], [253, 231, 37]], "{channels} channels");
        }
        // Other units than pixels.
        let units = Look::of([1, 2, 1], &[&[-3.0, 0.0], &[5.0, 1.0]]);
        assert_eq!((units.paint([-3.0; 3]), units.paint([5.0; 3])), ([0; 3], [255; 3]));
        assert_eq!(Look::of([1, 2, 2], &[&[f32::NAN; 4]]).paint([f32::NAN; 3]), [68, 1, 84]);
        assert_eq!([diverging(0.0), diverging(f32::NAN)], [[255; 3]; 2]);
    }

    #[test]
    fn every_shape_can_be_seen() {
        for (shape, side, size) in [
            ([28, 28, 1], 168, (168, 168)),
            ([28, 28, 1], 28, (28, 28)),
            ([49, 10, 1], 168, (30, 147)),
            ([96, 96, 3], 112, (96, 96)),
            ([200, 300, 1], 168, (150, 100)),
            // Strips.
            ([1, 1960, 1], 168, (164, 28)),
            ([2, 1960, 1], 168, (164, 28)),
            ([1960, 100, 1], 168, (25, 164)),
            ([1, 1, 1], 168, (168, 168)),
        ] {
            assert_eq!(Cells::fit(shape, side).size(), size, "{shape:?} in {side}");
        }
        assert_eq!(Cells::fit([0, 0, 0], 10).size(), (0, 0));
    }

    #[test]
    fn a_cell_is_the_mean_of_its_values() {
        let image: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let cells = Cells::fit([3, 4, 1], 2);
        assert_eq!(cells.all().collect::<Vec<_>>(), [(0, 0), (1, 0), (0, 1), (1, 1)]);
        assert_eq!(cells.values(&image, (1, 0)), [(2.0 + 3.0 + 6.0 + 7.0) / 4.0; 3]);
        assert_eq!(cells.values(&image, (0, 1)), [(8.0 + 9.0) / 2.0; 3], "the last row alone");
        assert_eq!(cells.values(&image[..9], (0, 1)), [8.0 / 2.0; 3], "what is missing is 0");
    }
}
