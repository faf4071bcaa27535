//! Images shared out among boards: whichever is free takes the next, and those of a board that dies go to the others.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::error::DeviceError;

/// How the work ended.
#[derive(Debug, Default)]
pub struct Ended {
    /// What befell the boards that did not see the end.
    pub lost: Vec<DeviceError>,
    /// What no other board would do better: a fault of the request, or Ctrl-C.
    pub fatal: Option<DeviceError>,
    /// Images that nobody did.
    pub left: usize,
}

/// What is left to do.
#[derive(Default)]
struct State {
    queue: VecDeque<usize>,
    at_work: usize,
    ended: Ended,
}

/// The same for all boards.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// An image that a board is at work on. Whoever waits hears of its end, even if the work panics.
struct Taken<'s> {
    shared: &'s Shared,
    image: usize,
    is_at_work: bool,
}

/// Does `work` with each of `images` on one of the boards; `done` gets the results, in any order, one at a time.
///
/// # Panics
/// If `work` or `done` does, once the boards at work have finished their images.
pub fn share<D: Send, R: Send>(
    devices: Vec<D>,
    images: impl IntoIterator<Item = usize>,
    work: impl Fn(&mut D, usize) -> Result<R, DeviceError> + Sync,
    done: impl FnMut(usize, R) + Send,
) -> Ended {
    let shared = Shared::default();
    shared.lock().queue.extend(images);
    let done = Mutex::new(done);
    let serve = |mut device: D| {
        while let Some(taken) = shared.next() {
            let result = work(&mut device, taken.image);
            let result =
                result.map(|result| (done.lock().unwrap_or_else(PoisonError::into_inner))(taken.image, result));
            let is_lost = result.is_err();
            taken.end(result.err());
            if is_lost {
                return;
            }
        }
    };
    std::thread::scope(|scope| devices.into_iter().for_each(|device| drop(scope.spawn(|| serve(device)))));
    let mut state = shared.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.ended.left += state.queue.len();
    state.ended
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next image. A board without one waits: another may die with one.
    fn next(&self) -> Option<Taken<'_>> {
        let mut state = self.lock();
        while state.queue.is_empty() && state.at_work > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let image = state.queue.pop_front()?;
        state.at_work += 1;
        Some(Taken { shared: self, image, is_at_work: true })
    }
}

impl Taken<'_> {
    fn end(mut self, failed: Option<DeviceError>) {
        self.is_at_work = false;
        self.shared.lock().finish(self.image, failed);
        self.shared.changed.notify_all();
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if self.is_at_work {
            self.shared.lock().give_up();
            self.shared.changed.notify_all();
        }
    }
}

impl State {
    fn finish(&mut self, image: usize, failed: Option<DeviceError>) {
        match failed {
            None => self.at_work -= 1,
            Some(error @ (DeviceError::Fault { .. } | DeviceError::Attack { .. } | DeviceError::Stopped)) => {
                self.give_up();
                self.ended.fatal.get_or_insert(error);
            }
            Some(error) => {
                self.at_work -= 1;
                if self.ended.fatal.is_some() {
                    self.ended.left += 1;
                } else {
                    self.queue.push_front(image);
                }
                self.ended.lost.push(error);
            }
        }
    }

    /// Neither this image nor those that wait are done by anybody.
    fn give_up(&mut self) {
        self.at_work -= 1;
        self.ended.left += self.queue.len() + 1;
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::sync::Barrier;

    use super::*;

    fn silent() -> DeviceError {
        DeviceError::Silent { port: "p".into(), seconds: 1 }
    }

    #[test]
    fn the_images_of_a_board_that_dies_go_to_the_others() {
        let mut seen = Vec::new();
        let work = |name: &mut usize, image| if *name == 0 { Err(silent()) } else { Ok((*name, image)) };
        let ended = share(vec![0, 1], 0..9, work, |image, (name, same)| {
            assert_eq!((name, same), (1, image));
            seen.push(image);
        });
        seen.sort_unstable();
        assert_eq!((seen, ended.left), ((0..9).collect(), 0));
        assert!(ended.lost.len() <= 1 && ended.fatal.is_none());
        let ended = share(vec![0, 0], 0..9, work, |_, _| panic!("nobody does anything"));
        assert_eq!((ended.left, ended.lost.len()), (9, 2));
    }

    /// The board that waits for an image has to hear that none will come.
    #[test]
    fn a_panic_ends_the_work_of_all() {
        // Each has one of the two images then.
        let both = Barrier::new(2);
        let work = |name: &mut usize, _: usize| {
            both.wait();
            if *name == 0 {
                // Until the other board waits, more or less.
                std::thread::sleep(std::time::Duration::from_millis(20));
                resume_unwind(Box::new(()));
            }
            Ok(())
        };
        let shared = AssertUnwindSafe(|| share(vec![0, 1], 0..2, work, |_, ()| {}));
        assert!(catch_unwind(shared).is_err());
    }
}
