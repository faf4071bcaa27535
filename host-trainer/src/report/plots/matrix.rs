//! Targeted success by true class and target.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::frame::{TEXT, head, px, write};
use super::{Area, BLUE, Drawn, GRID, INK, MUTED, PAPER, Plot};
use crate::report::{Figures, Matrix};

/// Room left of the cells and above them, in pixels.
const LEFT: i32 = 60;
const TOP: i32 = 76;
/// Side of all cells together.
const SIDE: i32 = 440;

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

impl Plot for MatrixPlot<'_> {
    fn size(&self) -> (u32, u32) {
        (540, (TOP + SIDE + 12) as u32)
    }

    fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        head(area, self.name, &[])?;
        let classes = self.matrix.cells.len().max(1) as i32;
        let (cell, left, top) = (px(SIDE) / classes, px(LEFT), px(TOP));
        let middle = |k: i32| k * cell + cell / 2;
        // Where there are many classes, some go without a label.
        let every = (classes as usize).div_ceil(20);
        for k in (0..classes).step_by(every) {
            write(area, &k.to_string(), (left + middle(k), top - px(12)), (TEXT, &MUTED, HPos::Center))?;
            write(area, &k.to_string(), (left - px(10), top + middle(k)), (TEXT, &MUTED, HPos::Right))?;
        }
        write(area, "target", (left + px(SIDE) / 2, top - px(30)), (TEXT, &MUTED, HPos::Center))?;
        write(area, "true", (px(8), top + px(SIDE) / 2), (TEXT, &MUTED, HPos::Left))?;
        for (i, row) in self.matrix.cells.iter().enumerate() {
            for (j, share) in row.iter().enumerate() {
                let (x, y) = (left + j as i32 * cell, top + i as i32 * cell);
                let square = [(x + px(1), y + px(1)), (x + cell - px(1), y + cell - px(1))];
                let Some(share) = share.filter(|share| share.of > 0) else {
                    area.draw(&Rectangle::new(square, GRID.mix(0.6).filled()))?;
                    continue;
                };
                area.draw(&Rectangle::new(square, GRID.stroke_width(px(1) as u32)))?;
                area.draw(&Rectangle::new(square, BLUE.mix(share.fraction).filled()))?;
                if cell >= px(22) {
                    let colour = if share.fraction > 0.5 { PAPER } else { INK };
                    let text = format!("{:.0}", 100.0 * share.fraction);
                    write(area, &text, (x + cell / 2, y + cell / 2), (TEXT, &colour, HPos::Center))?;
                }
            }
        }
        Ok(())
    }
}
