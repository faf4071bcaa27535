//! What `midge report --device` says of a board.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use midge_link::Ability;

use super::hosts::{self, Others};
use super::session::{BoardArguments, Session, element_name};
use crate::device::Device;
use crate::device::evaluation::measure;
use crate::device::farm::share;
use crate::device::plan::Plan;
use crate::device::table::{Table, count};
use crate::evaluation::classifier::Classifier as _;
use crate::evaluation::{Attack, Method};
use crate::progress;
use crate::report::{BoardAttack, OnBoard, Subject};

/// The boards at some ports, which all run the same model.
pub(crate) struct Boards {
    devices: Vec<Device>,
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Boards {
    /// Opens the ports.
    pub(crate) fn open(ports: &[String]) -> Result<Self> {
        let stop = super::super::attack::stop_on_interrupt()?;
        let arguments = BoardArguments::at(ports);
        let session = Session { arguments: &arguments, stop };
        let devices = session.devices()?;
        Ok(Self { devices, stop: session.stop })
    }

    /// Has them read and attack the images of the model that they run, beside the host.
    pub(crate) fn measure(&mut self, subjects: &[Subject], eps: f32) -> Result<OnBoard> {
        let info = self.devices.first().context("no board")?.client.info().clone();
        let mut found = None;
        for subject in subjects {
            let checksum = subject.weights.checksum()?;
            if info.fingerprint.is_empty() || checksum == info.fingerprint {
                found = Some(subject);
                break;
            }
        }
        let on_board = format!("the board runs {} ({}, {})", info.model, element_name(info.element), info.fingerprint);
        let subject = found.with_context(|| format!("{on_board}: expected --model with its file"))?;
        let is_fit = subject.weights.input().has_shape_of(&info.input);
        ensure!(is_fit, "{}: the board takes other images than the model: {on_board}", subject.source);
        let mut attacks = Vec::new();
        for method in [Method::Fgsm, Method::MiFgsm] {
            let attack = Attack::new(method);
            let table = self.attack(subject, attack, eps)?;
            attacks.push(BoardAttack { attack: attack.long_name(), table });
        }
        let dtype = element_name(info.element);
        Ok(OnBoard { board: info.board, model: info.model, dtype, fingerprint: info.fingerprint, eps, attacks })
    }

    fn attack(&mut self, subject: &Subject, attack: Attack, eps: f32) -> Result<Table> {
        let data = &subject.data;
        let labels: Vec<usize> = (0..data.len()).map(|i| data.label(i)).collect();
        let info = self.devices.first().context("no board")?.client.info();
        let (in_integers, unit) = (info.can(Ability::Integers), info.unit);
        let (grid, classes) = (subject.weights.input().grid, subject.weights.input().classes);
        let plan = Plan { data, labels: &labels, attack, classes, eps, grid, in_integers };
        let hosts = hosts::measure(&self.stop, subject.weights.clone(), Others::default(), &plan)?;
        let bar = progress::bar(data.len() as u64, "on the board");
        let mut done = BTreeMap::new();
        let work = |device: &mut &mut Device, index: usize| measure(device, &plan, &hosts, index);
        let ended = share(self.devices.iter_mut().collect(), 0..data.len(), work, |index, measured| {
            done.insert(index, measured);
            bar.inc(1);
        });
        bar.finish_and_clear();
        if ended.left > 0 {
            let causes = ended.fatal.into_iter().chain(ended.lost).map(|error| error.to_string());
            bail!(
                "{}: {} of {} images are not measured",
                causes.collect::<Vec<_>>().join("; "),
                ended.left,
                data.len()
            );
        }
        let done: Vec<_> = done.iter().map(|(index, measured)| (*index, measured)).collect();
        count(&plan, &hosts, &done, unit)
    }
}
