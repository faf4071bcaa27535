//! What the plots have in common: text, titles, axes and legends.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{RGBAColor, ShapeStyle, TextStyle};

use super::paper::{GRID, INK, MUTED, SCALE};
use crate::drawing::{Area, Drawn};

/// Units of so many pixels of the page.
pub(super) const fn px(pixels: i32) -> i32 {
    pixels * SCALE as i32
}

/// Sizes of text in pixels of the page.
pub(super) const TITLE: i32 = 15;
pub(super) const TEXT: i32 = 13;

/// Text of so many pixels.
pub(super) fn style(size: i32, colour: &RGBColor, horizontal: HPos) -> TextStyle<'static> {
    let font = ("sans-serif", px(size)).into_font();
    font.color(colour).pos(Pos::new(horizontal, VPos::Center))
}

/// Writes text whose middle line is at `y`.
pub(super) fn write<DB: DrawingBackend>(
    area: &Area<DB>,
    text: &str,
    at: (i32, i32),
    (size, colour, horizontal): (i32, &RGBColor, HPos),
) -> Drawn<DB> {
    area.draw(&Text::new(text.to_string(), at, style(size, colour, horizontal)))
}

/// How a series is drawn; its marker tells it apart without colour.
#[derive(Clone, Copy)]
pub(super) struct Series {
    pub(super) colour: RGBColor,
    pub(super) marker: Marker,
    pub(super) dashed: bool,
}

#[derive(Clone, Copy)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    None,
}

impl Series {
    pub(super) fn line(&self) -> ShapeStyle {
        self.colour.stroke_width(px(2) as u32)
    }

    /// The marker at a point of the area.
    pub(super) fn mark<DB: DrawingBackend>(&self, area: &Area<DB>, (x, y): (i32, i32)) -> Drawn<DB> {
        let r = px(4);
        let corners = match self.marker {
            Marker::None => return Ok(()),
            Marker::Circle => return area.draw(&Circle::new((x, y), r, self.colour.filled())),
            Marker::Square => vec![(-r, -r), (r, -r), (r, r), (-r, r)],
            Marker::Triangle => vec![(0, -r - r / 4), (r + r / 6, r - r / 8), (-r - r / 6, r - r / 8)],
            Marker::Diamond => vec![(0, -r - r / 2), (r + r / 2, 0), (0, r + r / 2), (-r - r / 2, 0)],
        };
        let corners: Vec<_> = corners.into_iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        area.draw(&Polygon::new(corners, self.colour.filled()))
    }

    /// A line through points of the area.
    pub(super) fn path<DB: DrawingBackend>(&self, area: &Area<DB>, points: Vec<(i32, i32)>) -> Drawn<DB> {
        if self.dashed {
            let line = plotters::element::DashedPathElement::new(points, px(6), px(4), self.line());
            return area.draw(&line);
        }
        area.draw(&PathElement::new(points, self.line()))
    }
}

/// A title, and below it what the series mean.
pub(super) fn head<DB: DrawingBackend>(area: &Area<DB>, title: &str, legend: &[(String, Series)]) -> Drawn<DB> {
    write(area, title, (px(8), px(14)), (TITLE, &INK, HPos::Left))?;
    let mut x = px(8);
    for (name, series) in legend {
        let y = px(38);
        series.path(area, vec![(x, y), (x + px(24), y)])?;
        series.mark(area, (x + px(12), y))?;
        write(area, name, (x + px(30), y), (TEXT, &INK, HPos::Left))?;
        let (width, _) = area.estimate_text_size(name, &style(TEXT, &INK, HPos::Left))?;
        // The reader's own font may be wider.
        x += px(30 + 14) + width as i32 * 5 / 4;
    }
    Ok(())
}

/// Linear axes: their ends, where the labels are, and what these say.
pub(super) struct Axes<'a> {
    pub(super) x: (f64, f64),
    pub(super) y: (f64, f64),
    pub(super) x_ticks: Vec<f64>,
    pub(super) y_ticks: Vec<f64>,
    pub(super) x_label: &'a dyn Fn(f64) -> String,
    pub(super) y_label: &'a dyn Fn(f64) -> String,
    pub(super) x_title: &'a str,
    pub(super) y_title: &'a str,
}

/// A rectangle with axes, in units of its area.
pub(super) struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    x: RangedCoordf64,
    y: RangedCoordf64,
}

impl Frame {
    /// Draws the axes between `top` and `bottom`, in pixels from the area's top.
    pub(super) fn draw<DB: DrawingBackend>(
        area: &Area<DB>,
        (top, bottom): (i32, i32),
        axes: &Axes<'_>,
    ) -> Result<Self, DrawingAreaErrorKind<DB::ErrorType>> {
        let (width, _) = area.dim_in_pixel();
        let frame = Self {
            left: px(56),
            right: width as i32 - px(14),
            top: px(top + 28),
            bottom: px(bottom - 44),
            x: (axes.x.0..axes.x.1).into(),
            y: (axes.y.0..axes.y.1).into(),
        };
        let Self { left, right, bottom, .. } = frame;
        for &tick in &axes.y_ticks {
            let y = frame.at((axes.x.0, tick)).1;
            let colour = if tick == axes.y.0 { MUTED } else { GRID };
            area.draw(&PathElement::new(vec![(left, y), (right, y)], colour.stroke_width(px(1) as u32)))?;
            write(area, &(axes.y_label)(tick), (left - px(8), y), (TEXT, &MUTED, HPos::Right))?;
        }
        for &tick in &axes.x_ticks {
            let x = frame.at((tick, axes.y.0)).0;
            area.draw(&PathElement::new(vec![(x, bottom), (x, bottom + px(4))], MUTED.stroke_width(px(1) as u32)))?;
            write(area, &(axes.x_label)(tick), (x, bottom + px(14)), (TEXT, &MUTED, HPos::Center))?;
        }
        write(area, axes.x_title, ((left + right) / 2, bottom + px(33)), (TEXT, &MUTED, HPos::Center))?;
        write(area, axes.y_title, (px(8), px(top + 8)), (TEXT, &MUTED, HPos::Left))?;
        Ok(frame)
    }

    /// Where the highest values are.
    pub(super) fn top(&self) -> i32 {
        self.top
    }

    /// Where a point of the data is.
    pub(super) fn at(&self, (x, y): (f64, f64)) -> (i32, i32) {
        use plotters::coord::ranged1d::Ranged;
        (self.x.map(&x, (self.left, self.right)), self.y.map(&y, (self.bottom, self.top)))
    }

    /// A line with markers.
    pub(super) fn series<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
        points: &[(f64, f64)],
        series: &Series,
    ) -> Drawn<DB> {
        let points: Vec<_> = points.iter().map(|point| self.at(*point)).collect();
        series.path(area, points.clone())?;
        points.into_iter().try_for_each(|point| series.mark(area, point))
    }

    /// The area between two lines over the same x.
    pub(super) fn band<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
        points: &[(f64, [f64; 2])],
        colour: RGBAColor,
    ) -> Drawn<DB> {
        let edge = |end: usize| points.iter().map(move |(x, interval)| self.at((*x, interval[end])));
        let outline: Vec<_> = edge(0).chain(edge(1).rev()).collect();
        area.draw(&Polygon::new(outline, colour.filled()))
    }
}

/// `0 %` to `100 %` in fifths.
pub(super) fn fifths() -> Vec<f64> {
    (0..=5).map(|k| f64::from(k) / 5.0).collect()
}

/// A fraction as a percentage without decimals.
pub(super) fn percent(fraction: f64) -> String {
    format!("{:.0} %", 100.0 * fraction)
}

/// At most `most` steps of 1, 2 or 5 times a power of ten from 0 to `end`.
pub(super) fn ticks(end: f64, most: usize) -> Vec<f64> {
    let rough = end / most as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(end);
    (0..=most).map(|k| k as f64 * step).take_while(|tick| *tick <= end * (1.0 + 1e-9)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(10.0, 5), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(ticks(0.3, 3).len(), 4);
        assert_eq!(ticks(37.0, 4), [0.0, 10.0, 20.0, 30.0]);
        for end in [1.0, 3.0, 7.0, 23.0, 0.013, 1e6] {
            assert!((2..=6).contains(&ticks(end, 5).len()), "{end}");
        }
    }
}
