//! How time and memory grow with the number of images, threads, the width of the network and the size of the image,
//! beside what this machine can do at most, measured in the same run.
//!
//! ```text
//! cargo bench -p midge-benches --bench growth     prints a table; writes benches/growth.tsv and benches/growth.svg
//! ```

mod limits;
mod plot;
mod series;

use std::path::Path;
use std::process::ExitCode;

use midge_trainer::files::write_atomically;
use series::{Row, Series};

/// What the rows say, as the head of the table.
const HEAD: [&str; 11] = [
    "what",
    "value",
    "images",
    "work",
    "us/image",
    "M multiply-adds",
    "M not zero",
    "% of limit",
    "% not zero",
    "buffer bytes",
    "peak MiB",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("growth: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let (limit, vectors) = limits::multiply_adds_per_second();
    println!("one core, fused multiply-adds of f32 ({vectors}): {:.1} G/s", limit / 1e9);
    for (level, bytes) in [("L1", 16 << 10), ("L2", 256 << 10), ("L3", 8 << 20), ("RAM", 512 << 20)] {
        println!(
            "one core, reading {:>6} KiB ({level}): {:.1} GB/s",
            bytes >> 10,
            limits::bytes_per_second(bytes) / 1e9
        );
    }
    let mut series = Series::default();
    series.images()?;
    series.threads()?;
    series.width()?;
    series.size()?;
    print(&series.rows, limit);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    write_atomically(&folder.join("growth.tsv"), tsv(&series.rows, limit).as_bytes())?;
    write_atomically(&folder.join("growth.svg"), plot::draw(&series.rows, limit)?.as_bytes())
}

fn cells(row: &Row, limit: f64) -> [String; 11] {
    let percent = |multiply_adds: f64| 100.0 * multiply_adds / row.seconds / (limit * row.threads as f64);
    let optional = |value: Option<f64>, digits| value.map_or("-".into(), |value| format!("{value:.digits$}"));
    [
        row.what.into(),
        row.value.to_string(),
        row.images.into(),
        row.work.into(),
        format!("{:.1}", row.seconds * 1e6),
        format!("{:.2}", row.multiply_adds / 1e6),
        optional(row.executed.map(|n| n / 1e6), 2),
        format!("{:.1}", percent(row.multiply_adds)),
        optional(row.executed.map(percent), 1),
        row.buffer_bytes.to_string(),
        optional(row.peak_mib, 1),
    ]
}

fn print(rows: &[Row], limit: f64) {
    let line = |cells: [String; 11]| {
        let [what, value, images, work, rest @ ..] = cells;
        let rest: String = rest.iter().map(|cell| format!("{cell:>16}")).collect();
        println!("{what:<8}{value:>8}  {images:<8}{work:<9}{rest}");
    };
    line(HEAD.map(str::to_owned));
    rows.iter().for_each(|row| line(cells(row, limit)));
    println!(
        "% of limit: multiply-adds of a dense network against the limit of the threads used; not zero: only those"
    );
    println!(
        "whose input is not zero, counted on the images used. FGSM counts forward and backward as one dense pass each."
    );
}

fn tsv(rows: &[Row], limit: f64) -> String {
    let rows = rows.iter().map(|row| cells(row, limit).join("\t"));
    [HEAD.join("\t")].into_iter().chain(rows).map(|line| line + "\n").collect()
}
