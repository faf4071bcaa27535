//! A push button that remembers a press while the processor computes.

use embedded_hal::delay::DelayNs;

use super::hardware::Wait;

/// The pin of a push button. The chip remembers the edge, so that neither an interrupt nor polling takes time from
/// what is measured.
pub trait Pin {
    /// Whether the button is down now.
    fn is_down(&self) -> bool;
    /// Whether the button went down since last asked.
    fn went_down(&mut self) -> bool;
}

/// Contacts bounce for a few milliseconds.
const BOUNCE_MS: u32 = 10;

/// A push button.
pub struct Button<P: Pin> {
    pin: P,
    held: bool,
}

impl<P: Pin> Button<P> {
    pub(super) fn new(pin: P) -> Self {
        Self { pin, held: false }
    }

    /// Whether the button was pressed since last asked.
    pub fn pressed(&mut self) -> bool {
        let edge = self.pin.went_down();
        // A button that was held bounces while it is released; a true second press before this question, which looks
        // the same, is lost.
        let pressed = edge && !self.held;
        if edge || self.held != self.pin.is_down() {
            Wait.delay_ms(BOUNCE_MS);
            // Edges of the bounces belong to the press or release just seen.
            self.pin.went_down();
        }
        self.held = self.pin.is_down();
        pressed
    }
}
