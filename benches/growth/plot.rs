//! The measurements as a picture.

use anyhow::{Result, anyhow};
use midge_trainer::report::register_font;
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
    register_font()?;
    let mut svg = String::new();
    panels(&SVGBackend::with_string(&mut svg, (1000, 800)).into_drawing_area(), rows, limit)
        .map_err(|error| anyhow!("the plot: {error}"))?;
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn panels(root: &Area<'_>, rows: &[Row], limit: f64) -> Drawn {
    root.fill(&WHITE)?;
    root.split_evenly((2, 2)).iter().zip(TITLES).try_for_each(|(area, title)| panel(area, rows, limit, title))?;
    root.present()
}

fn panel(area: &Area<'_>, rows: &[Row], limit: f64, (what, x, y): (&str, &str, &str)) -> Drawn {
    let in_all = y.ends_with("all");
    let time = |row: &Row, seconds: f64| seconds * if in_all { 1e3 * row.count as f64 } else { 1e6 };
    let rows: Vec<&Row> = rows.iter().filter(|row| row.what == what).collect();
    let best = |row: &Row| row.multiply_adds / (limit * row.threads as f64);
    let times = || rows.iter().flat_map(|row| [time(row, row.seconds), time(row, best(row))]);
    let values = || rows.iter().map(|row| row.value);
    let range = |values: &mut dyn Iterator<Item = f64>, room: f64| {
        let (low, high) = values.fold((f64::INFINITY, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
        low * 0.8..high * room
    };
    let mut ticks: Vec<f64> = values().collect();
    ticks.dedup();
    let across = range(&mut values(), 1.25).log_scale().with_key_points(ticks);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        // Above the lines is room for what they mean.
        .build_cartesian_2d(across, range(&mut times(), 20.0).log_scale())?;
    let number = |value: &f64| value.to_string();
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x).y_desc(y).x_label_formatter(&number).y_label_formatter(&number);
    mesh.light_line_style(RGBColor(240, 240, 240)).draw()?;
    let lines = LINES.map(|(images, work, colour)| {
        let chosen = rows.iter().filter(|row| row.images == images && row.work == work);
        let points: Vec<(f64, f64)> = chosen.map(|row| (row.value, time(row, row.seconds))).collect();
        (format!("{work}, {images}"), points, colour.stroke_width(2))
    });
    let forward = rows.iter().filter(|row| row.images == "dense" && row.work == "forward");
    let at_limit = forward.map(|row| (row.value, time(row, best(row)))).collect();
    let limit = ("forward, nothing skipped, at the limit".to_owned(), at_limit, BLACK.stroke_width(1));
    for (label, points, style) in lines.into_iter().chain([limit]) {
        chart
            .draw_series(LineSeries::new(points, style).point_size(3))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let border = RGBColor(200, 200, 200);
    chart.configure_series_labels().position(SeriesLabelPosition::UpperLeft).border_style(border).draw()
}
