//! How many rows each stage has to keep, counted by going through both walks before anything is computed.
//!
//! A stage of a chain keeps the rows under one window: as soon as they are there, a row is made and the oldest ones give way.
//! Where a value has two readers, one of them may want its rows long before the other. Then the slower one has to keep them:
//! in a residual block, until the convolutions of the main branch have made the row to which they are added.
//!
//! ```text
//! a block: x -> conv 3x3 -> conv 3x3 -> add x           rows of x that are there when row 0 of the sum is made: 0 to 2
//!
//! forward    the last stage asks for its rows, each stage those before it; who has all it needs makes a row for all readers
//! backward   the first stage asks for rows of its output's gradient, each stage those of all its readers
//! ```
//! Both walks are those of `pass/rows.rs` and `pass/backward.rs`, which go on in the same order.

use super::spatial::{Operation, Spatial};
use super::stage::Stage;
use super::stages::MAX_STAGES;
use crate::network::layer::NetworkError;

/// Counts the rows of the first `spatial` of `stages`.
pub(super) const fn count_rows(stages: &mut [Stage; MAX_STAGES], spatial: usize) -> Result<(), NetworkError> {
    let mut rows = chain_rows(stages, spatial);
    if !is_linear(stages, spatial) {
        forward_rows(stages, spatial, &mut rows);
        backward_rows(stages, spatial, &mut rows);
    }
    let mut i = 0;
    while i < spatial {
        if let Stage::Spatial(stage) = &mut stages[i] {
            let mut slots = [0; 3];
            let mut slot = 0;
            while slot < slots.len() {
                if rows[i][slot] > u8::MAX as usize {
                    return Err(NetworkError::SkipRows { layer: stages[i].layer() });
                }
                slots[slot] = rows[i][slot] as u8;
                slot += 1;
            }
            stage.slots = slots;
        }
        i += 1;
    }
    Ok(())
}

/// For each stage: rows of its input, of what it adds, and of its output's gradient.
type Rows = [[usize; 3]; MAX_STAGES];

const fn spatial(stages: &[Stage; MAX_STAGES], index: usize) -> &Spatial {
    match &stages[index] {
        Stage::Spatial(stage) => stage,
        Stage::Dense(_) => panic!("spatial stages come first"),
    }
}

/// Whether each stage reads the one before it and nothing else.
pub(super) const fn is_linear(stages: &[Stage; MAX_STAGES], count: usize) -> bool {
    let mut i = 0;
    while i < count {
        if spatial(stages, i).source() != i || spatial(stages, i).skip().is_some() {
            return false;
        }
        i += 1;
    }
    true
}

/// The rows of a chain. The first stage adds to the whole image's gradient, so one row of its output's gradient is enough. An
/// average keeps the row that it gets, and one of sums.
const fn chain_rows(stages: &[Stage; MAX_STAGES], count: usize) -> Rows {
    let mut rows = [[1; 3]; MAX_STAGES];
    let mut i = 0;
    while i < count {
        let stage = spatial(stages, i);
        let is_average = matches!(stage.operation, Operation::Average);
        let live = stage.row_extent().div_ceil(stage.row_step());
        rows[i] = [if is_average { 1 } else { stage.row_extent() }, is_average as usize, if i == 0 { 1 } else { live }];
        i += 1;
    }
    rows
}

/// Raises `rows` to `needed`.
const fn raise(rows: &mut usize, needed: usize) {
    if *rows < needed {
        *rows = needed;
    }
}

/// The walk to the logits.
const fn forward_rows(stages: &[Stage; MAX_STAGES], count: usize, rows: &mut Rows) {
    let (mut received, mut skipped, mut made) = ([0; MAX_STAGES], [0; MAX_STAGES], [0; MAX_STAGES]);
    let last = count - 1;
    // A row may come before its reader asks for one, so the padding above it is there from the start.
    let mut index = 0;
    while index < count {
        received[index] = spatial(stages, index).pad_top();
        index += 1;
    }
    while made[last] < spatial(stages, last).output().height {
        let mut index = last;
        while let Some(source) = missing_source(spatial(stages, index), (received[index], skipped[index]), made[index])
        {
            if source == 0 {
                // The image, or padding below it.
                received[index] += 1;
            } else {
                index = source - 1;
            }
        }
        made[index] += 1;
        let mut reader = 0;
        while reader < count {
            let stage = spatial(stages, reader);
            if stage.source() == index + 1 {
                received[reader] += 1;
                if !matches!(stage.operation, Operation::Average) {
                    raise(&mut rows[reader][0], received[reader].saturating_sub(made[reader] * stage.row_step()));
                }
            }
            if let Some(value) = stage.skip()
                && value == index + 1
            {
                skipped[reader] += 1;
                raise(&mut rows[reader][1], skipped[reader] - made[reader]);
            }
            reader += 1;
        }
    }
}

/// The value of which a stage that has received and skipped so many rows needs another to make row `made`; 0 if it is there.
const fn missing_source(stage: &Spatial, (received, skipped): (usize, usize), made: usize) -> Option<usize> {
    if received < made * stage.row_step() + stage.row_extent() {
        let is_padding = received >= stage.pad_top() + stage.input().height;
        return Some(if is_padding { 0 } else { stage.source() });
    }
    match stage.skip() {
        Some(value) if skipped <= made => Some(value),
        _ => None,
    }
}

/// The walk to the image.
const fn backward_rows(stages: &[Stage; MAX_STAGES], count: usize, rows: &mut Rows) {
    let mut made = [0; MAX_STAGES];
    while made[0] < spatial(stages, 0).output().height {
        let mut index = 0;
        while let Some(reader) = missing_reader(stages, count, &made, index) {
            index = reader;
        }
        made[index] += 1;
        let stage = spatial(stages, index);
        let mut first = if stage.source() == 0 {
            made[index] - 1
        } else {
            let row = made[stage.source() - 1];
            let is_over = row == stage.input().height;
            if is_over { made[index] } else { stage.covering_rows(row).0 }
        };
        if let Some(value) = stage.skip()
            && made[value - 1] < first
        {
            first = made[value - 1];
        }
        raise(&mut rows[index][2], made[index].saturating_sub(first));
    }
}

/// A reader of stage `index` that has not yet made the rows of its output's gradient on which the next row depends.
const fn missing_reader(
    stages: &[Stage; MAX_STAGES],
    count: usize,
    made: &[usize; MAX_STAGES],
    index: usize,
) -> Option<usize> {
    let mut reader = index + 1;
    while reader < count {
        let stage = spatial(stages, reader);
        let reads = stage.source() == index + 1 && made[reader] <= stage.covering_rows(made[index]).1;
        let adds = match stage.skip() {
            Some(value) => value == index + 1 && made[reader] <= made[index],
            None => false,
        };
        if reads || adds {
            return Some(reader);
        }
        reader += 1;
    }
    None
}
