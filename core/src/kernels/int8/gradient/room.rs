//! The unit of sums.

use super::contribution::{HEADROOM, OutputGradients, Way};
use super::pass_on::share_of_operand;
use crate::kernels::int8::Int8Layer;
use crate::network::plan::Operation;

/// So many products of a value of a row and a weight fit into a sum.
const PRODUCTS: usize = 480;

/// What such a value is as large as.
const PRODUCTS_PASSED_ON: usize = 1 << (HEADROOM - 7);

/// The unit of sums in which all that contributes to them has room.
#[derive(Clone, Copy, Default)]
pub(crate) struct Room {
    exponent: Option<i32>,
    products: usize,
}

impl Room {
    /// For `count` products of values with an exponent and weights.
    pub(crate) fn of_products(exponent: Option<i32>, count: usize) -> Self {
        Self { exponent, products: count }
    }

    /// For a row as well. A row in which all is 0 takes none.
    pub(crate) fn with(self, layer: &Int8Layer<'_>, output: &OutputGradients<'_>, way: Way) -> Self {
        let Some(exponent) = output.gradients.exponent else { return self };
        let stage = output.masks.stage;
        let columns = stage.column_extent().div_ceil(stage.column_step());
        let (growth, products) = match stage.operation {
            Operation::Conv => (0, columns * stage.output().channels),
            Operation::Depthwise => (0, columns * (stage.output().channels / stage.input().channels.max(1))),
            Operation::Add => (share_of_operand(layer, way).1 - HEADROOM, PRODUCTS_PASSED_ON),
            Operation::Average | Operation::Identity => (-HEADROOM, PRODUCTS_PASSED_ON),
        };
        let exponent = self.exponent.map_or(exponent + growth, |own| own.max(exponent + growth));
        Self { exponent: Some(exponent), products: self.products + products }
    }

    /// For so many times as much.
    pub(crate) fn times(self, count: usize) -> Self {
        Self { products: self.products * count, ..self }
    }

    /// The exponent of the unit; `None` if there is nothing to add.
    pub(crate) fn exponent(&self) -> Option<i32> {
        let mut exponent = self.exponent?;
        let mut most = PRODUCTS;
        while self.products > most {
            most *= 2;
            exponent += 1;
        }
        Some(exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_have_room_for_all_products() {
        for count in [1, 480, 481, 2304, 100_000] {
            let growth = Room::of_products(Some(3), count).exponent().unwrap() - 3;
            let most = (count as i64 * 128) * ((32767 >> growth) + 1);
            assert!(most + (1 << 20) < 1 << 31, "{count}");
        }
        assert_eq!(PRODUCTS_PASSED_ON * 128, 1 << HEADROOM);
    }
}
