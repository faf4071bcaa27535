//! Targeted success by true class and target.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{TEXT, head, px, write};
use super::paper::{BLUE, GRID, INK, MUTED, PAPER, Plot};
use crate::drawing::{Area, Drawn};
use crate::picture::fit;
use crate::report::{Figures, Matrix};

/// Room left of the cells, less and more of it where classes have long names, and above them, in pixels.
const LEFT: [i32; 2] = [56, 120];
const TOP: i32 = 70;
/// Size of all cells together.
const SIZE: (i32, i32) = (470, 340);

/// The matrix of one model.
pub(crate) struct MatrixPlot<'a> {
    name: &'a str,
    matrix: &'a Matrix,
}

impl<'a> MatrixPlot<'a> {
    pub(crate) fn new(figures: &'a Figures) -> Self {
        Self { name: &figures.name, matrix: &figures.matrix }
    }
}

impl MatrixPlot<'_> {
    fn left(&self) -> i32 {
        let longest = self.matrix.classes.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        (longest as i32 * TEXT * 2 / 3 + 14).clamp(LEFT[0], LEFT[1])
    }
}

impl Plot for MatrixPlot<'_> {
    fn size(&self) -> (u32, u32) {
        ((self.left() + SIZE.0 + 14) as u32, (TOP + SIZE.1 + 10) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        head(area, self.name, &[])?;
        let classes = self.matrix.cells.len().max(1) as i32;
        let (left, top) = (px(self.left()), px(TOP));
        let (width, height) = (px(SIZE.0) / classes, px(SIZE.1) / classes);
        // Where there are many classes, some go without a label.
        let every = (classes as usize).div_ceil(20);
        for k in (0..classes).step_by(every) {
            let name = |room: i32| fit(&self.matrix.classes[k as usize], TEXT, room);
            let (column, row) = (name(every as i32 * SIZE.0 / classes - 4), name(self.left() - 14));
            write(area, &column, (left + k * width + width / 2, top - px(12)), (TEXT, &MUTED, HPos::Center))?;
            write(area, &row, (left - px(10), top + k * height + height / 2), (TEXT, &MUTED, HPos::Right))?;
        }
        write(area, "target", (left + px(SIZE.0) / 2, top - px(32)), (TEXT, &MUTED, HPos::Center))?;
        write(area, "true", (left - px(10), top - px(12)), (TEXT, &MUTED, HPos::Right))?;
        for (i, row) in self.matrix.cells.iter().enumerate() {
            for (j, share) in row.iter().enumerate() {
                let (x, y) = (left + j as i32 * width, top + i as i32 * height);
                let square = [(x + px(1), y + px(1)), (x + width - px(1), y + height - px(1))];
                let Some(fraction) = share.and_then(|share| share.fraction) else {
                    area.draw(&Rectangle::new(square, GRID.mix(0.6).filled()))?;
                    continue;
                };
                area.draw(&Rectangle::new(square, GRID.stroke_width(px(1) as u32)))?;
                area.draw(&Rectangle::new(square, BLUE.mix(fraction).filled()))?;
                if width >= px(26) && height >= px(16) {
                    let colour = if fraction > 0.7 { PAPER } else { INK };
                    let text = format!("{:.0}", 100.0 * fraction);
                    write(area, &text, (x + width / 2, y + height / 2), (TEXT, &colour, HPos::Center))?;
                }
            }
        }
        Ok(())
    }
}
