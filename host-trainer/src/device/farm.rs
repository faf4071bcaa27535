//! Images shared out among boards: whichever is free takes the next, and those of a board that dies go to the others.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

use super::error::DeviceError;
use super::images::Device;

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

/// Does `work` with each of `images` on one of the boards; `done` gets the results, in any order, one at a time.
pub fn share<R: Send>(
    devices: Vec<Device>,
    images: impl IntoIterator<Item = usize>,
    work: impl Fn(&mut Device, usize) -> Result<R, DeviceError> + Sync,
    done: impl FnMut(usize, R) + Send,
) -> Ended {
    let state = Mutex::new(State { queue: images.into_iter().collect(), ..State::default() });
    let (changed, done) = (Condvar::new(), Mutex::new(done));
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    // A board without an image waits: another may die with one.
    let next = || {
        let mut state = lock();
        while state.queue.is_empty() && state.at_work > 0 {
            state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let image = state.queue.pop_front()?;
        state.at_work += 1;
        Some(image)
    };
    let serve = |mut device: Device| {
        while let Some(image) = next() {
            let result = work(&mut device, image);
            let result = result.map(|result| (done.lock().unwrap_or_else(PoisonError::into_inner))(image, result));
            let is_lost = result.is_err();
            lock().finish(image, result.err());
            changed.notify_all();
            if is_lost {
                return;
            }
        }
    };
    std::thread::scope(|scope| devices.into_iter().for_each(|device| drop(scope.spawn(|| serve(device)))));
    let mut state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    state.ended.left += state.queue.len();
    state.ended
}

impl State {
    fn finish(&mut self, image: usize, failed: Option<DeviceError>) {
        self.at_work -= 1;
        match failed {
            None => {}
            Some(error @ (DeviceError::Fault { .. } | DeviceError::Stopped)) => {
                self.ended.left += self.queue.len() + 1;
                self.queue.clear();
                self.ended.fatal.get_or_insert(error);
            }
            Some(error) => {
                if self.ended.fatal.is_some() {
                    self.ended.left += 1;
                } else {
                    self.queue.push_front(image);
                }
                self.ended.lost.push(error);
            }
        }
    }
}
