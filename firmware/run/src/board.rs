//! The boards, and which one a program was built for.

use anyhow::{Result, bail};
use object::{Object, ObjectSymbol};

/// Where a board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Emulated.
    Qemu { cpu: &'static str },
    /// On the desk: the name for a probe, and the family of files for the board's USB drive, if it has one.
    Desk { chip: &'static str, uf2: Option<u32> },
}

/// A board.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Board {
    /// QEMU's name of the machine, or the firmware's feature.
    pub name: &'static str,
    pub place: Place,
}

const BOARDS: [Board; 9] = [
    Board { name: "mps2-an386", place: Place::Qemu { cpu: "cortex-m4" } },
    Board { name: "mps2-an500", place: Place::Qemu { cpu: "cortex-m7" } },
    Board { name: "mps2-an505", place: Place::Qemu { cpu: "cortex-m33" } },
    Board { name: "mps3-an547", place: Place::Qemu { cpu: "cortex-m55" } },
    Board { name: "netduinoplus2", place: Place::Qemu { cpu: "cortex-m4" } },
    Board { name: "pico", place: Place::Desk { chip: "RP2040", uf2: Some(0xe48b_ff56) } },
    Board { name: "pico2", place: Place::Desk { chip: "RP235x", uf2: Some(0xe48b_ff59) } },
    Board { name: "nrf52840-dk", place: Place::Desk { chip: "nRF52840_xxAA", uf2: None } },
    Board { name: "nucleo-h743zi", place: Place::Desk { chip: "STM32H743ZITx", uf2: None } },
];

/// A program names its board by a symbol with this prefix.
const SYMBOL: &str = "MIDGE_BOARD_";

impl Board {
    /// The board that a program was built for.
    pub(crate) fn of(elf: &[u8]) -> Result<Self> {
        let file = object::File::parse(elf)?;
        for symbol in file.symbols() {
            if let Some(name) = symbol.name()?.strip_prefix(SYMBOL) {
                let name = name.replace('_', "-");
                let board = BOARDS.into_iter().find(|board| board.name == name);
                return board.map_or_else(|| bail!("built for {name}, which this runner does not know"), Ok);
            }
        }
        bail!("no symbol {SYMBOL}... says for which board it was built")
    }
}
