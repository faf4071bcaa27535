//! The measurements as a picture.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::series::Row;

const TITLES: [(&str, &str, &str); 4] = [
    ("images", "number of images, one thread", "ms in all"),
    ("threads", "threads, 1000 images", "ms in all"),
    ("width", "filters, times those of the MNIST CNN", "us per image"),
    ("size", "rows and columns of the image", "us per image"),
];

const LINES: [(&str, &str, RGBColor); 4] = [
    ("digits", "forward", RGBColor(31, 119, 180)),
    ("dense", "forward", RGBColor(140, 190, 230)),
    ("digits", "FGSM", RGBColor(214, 39, 40)),
    ("dense", "FGSM", RGBColor(240, 150, 150)),
];

/// An SVG of four log-log plots, each with the time that a dense forward pass would take at the limit of the processor.
pub(crate) fn draw(rows: &[Row], limit: f64) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (1000, 800)).into_drawing_area();
        let drawn = root.fill(&WHITE).map_err(|error| error.to_string()).and_then(|()| {
            let areas = root.split_evenly((2, 2));
            let panels = areas.iter().zip(TITLES);
            panels.map(|(area, title)| panel(area, rows, limit, title).map_err(|e| e.to_string())).collect()
        });
        let drawn: Result<(), String> = drawn;
        drawn.map_err(|error| anyhow!("the plot: {error}"))?;
    }
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn panel<'a>(area: &Area<'a>, rows: &[Row], limit: f64, (what, x, y): (&str, &str, &str)) -> Drawn<'a> {
    let in_all = y.ends_with("all");
    let time = |row: &Row, seconds: f64| seconds * if in_all { 1e3 * row.count as f64 } else { 1e6 };
    let rows: Vec<&Row> = rows.iter().filter(|row| row.what == what).collect();
    let best = |row: &Row| row.multiply_adds / (limit * row.threads as f64);
    let times = || rows.iter().flat_map(|row| [time(row, row.seconds), time(row, best(row))]);
    let values = || rows.iter().map(|row| row.value);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
        low * 0.8..high * 1.25
    };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(range(&mut values()).log_scale(), range(&mut times()).log_scale())?;
    chart.configure_mesh().x_desc(x).y_desc(y).light_line_style(RGBColor(240, 240, 240)).draw()?;
    for (images, work, colour) in LINES {
        let chosen = rows.iter().filter(|row| row.images == images && row.work == work);
        let points: Vec<(f64, f64)> = chosen.map(|row| (row.value, time(row, row.seconds))).collect();
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(format!("{work}, {images}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let forward = rows.iter().filter(|row| row.images == "dense" && row.work == "forward");
    let points: Vec<(f64, f64)> = forward.map(|row| (row.value, time(row, best(row)))).collect();
    chart
        .draw_series(LineSeries::new(points, BLACK.stroke_width(1)))?
        .label("forward, nothing skipped, at the limit")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(1)));
    let border = RGBColor(200, 200, 200);
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(border).draw()
}
