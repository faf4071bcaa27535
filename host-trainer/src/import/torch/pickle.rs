//! Python's pickles, as far as torch.save writes them for a `state_dict`: numbers, texts, tuples, lists, dictionaries and tensors.
//!
//! A pickle is a program for a small machine with a stack, which may call any function of Python by its name. Here nothing is
//! ever called: the few names that say where a tensor lies are known, and every other one is refused.

use std::collections::BTreeMap;

use super::objects::{Global, Id, Object, Pickle, Storage, global};

/// Why a pickle is not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// It ends too early.
    #[error("the pickle ends in the middle, at byte {at}: was the file cut?")]
    End {
        /// Where something was expected.
        at: usize,
    },
    /// It names something of Python that is not needed for weights.
    #[error(
        "the pickle asks for {module}.{name}, which a state_dict does not need: nothing was executed. In Python: \
         torch.save(model.state_dict(), \"state.pt\")"
    )]
    Global {
        /// Its module in Python.
        module: String,
        /// Its name there.
        name: String,
    },
    /// An instruction that torch.save does not write.
    #[error("expected an instruction of torch.save's pickles, found {opcode:#04x} at byte {at}")]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Where.
        at: usize,
    },
    /// An instruction that does not fit what is on the stack.
    #[error("the pickle is damaged: at byte {at}, expected {expected}")]
    Stack {
        /// What the instruction needs.
        expected: &'static str,
        /// Where.
        at: usize,
    },
}

/// Reads the pickle at the start of `bytes`.
///
/// # Errors
/// See [`PickleError`].
pub(super) fn read(bytes: &[u8]) -> Result<Pickle, PickleError> {
    let machine =
        Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() };
    machine.run()
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// Lengths of the stack at each mark.
    marks: Vec<usize>,
    memo: BTreeMap<u64, Id>,
}

/// What a step of the machine gives.
type Step<T> = Result<T, PickleError>;

impl<'b> Machine<'b> {
    fn run(mut self) -> Step<Pickle> {
        loop {
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Pickle { objects: self.objects, root, length: self.at });
            }
            self.step(opcode)?;
        }
    }

    fn step(&mut self, opcode: u8) -> Step<()> {
        match opcode {
            // Protocol and frame: what is read is the same.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b'0' => self.pop().map(drop),
            b'1' => self.marked().map(drop),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
                Ok(())
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode),
            b'c' | 0x93 => self.global(opcode),
            b'R' | 0x81 => self.call(),
            b'b' => self.pop().map(drop),
            b'Q' => self.persistent(),
            b'}' | b']' | b')' | 0x8f | b't' | b'l' | b'd' | 0x85..=0x87 => self.container(opcode),
            b's' | b'u' | b'a' | b'e' | 0x90 => self.fill(opcode),
            _ => {
                let object = self.literal(opcode)?;
                self.push(object);
                Ok(())
            }
        }
    }

    /// Numbers and texts.
    fn literal(&mut self, opcode: u8) -> Step<Object> {
        Ok(match opcode {
            b'N' => Object::None,
            0x88 => Object::Integer(1),
            0x89 => Object::Integer(0),
            b'K' => Object::Integer(self.number(1)? as i64),
            b'M' => Object::Integer(self.number(2)? as i64),
            b'J' => Object::Integer(i64::from(self.number(4)? as u32 as i32)),
            0x8a => {
                let length = self.number(1)? as usize;
                self.long(length)?
            }
            0x8b => {
                let length = self.length(4)?;
                self.long(length)?
            }
            b'G' => {
                self.take(8)?;
                Object::Other
            }
            b'X' | b'T' => self.string(4)?,
            0x8c | b'U' => self.string(1)?,
            0x8d => self.string(8)?,
            b'B' | 0x8e | b'C' | 0x96 => {
                let length = self.length(match opcode {
                    b'B' => 4,
                    b'C' => 1,
                    _ => 8,
                })?;
                self.take(length)?;
                Object::Other
            }
            opcode => return Err(PickleError::Opcode { opcode, at: self.at - 1 }),
        })
    }

    /// An integer of any length, of which those that fit 64 bits are known.
    fn long(&mut self, length: usize) -> Step<Object> {
        let bytes = self.take(length)?;
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        if length > 8 {
            return Ok(Object::Other);
        }
        let mut whole = [sign; 8];
        whole[..length].copy_from_slice(bytes);
        Ok(Object::Integer(i64::from_le_bytes(whole)))
    }

    fn string(&mut self, digits: usize) -> Step<Object> {
        let length = self.length(digits)?;
        Ok(Object::Text(String::from_utf8_lossy(self.take(length)?).into_owned()))
    }

    fn memo(&mut self, opcode: u8) -> Step<()> {
        let place = match opcode {
            b'q' | b'h' => self.number(1)?,
            0x94 => self.memo.len() as u64,
            _ => self.number(4)?,
        };
        if matches!(opcode, b'h' | b'j') {
            let known = self.memo.get(&place).copied();
            self.stack.push(known.ok_or(PickleError::Stack { expected: "an object that was kept", at: self.at })?);
        } else {
            let top = self.top()?;
            self.memo.insert(place, top);
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Step<()> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (&self.objects[module], &self.objects[name]) {
                (Object::Text(module), Object::Text(name)) => (module.clone(), name.clone()),
                _ => return Err(PickleError::Stack { expected: "the names of a global", at: self.at }),
            }
        };
        let known = global(&module, &name).ok_or(PickleError::Global { module, name })?;
        self.push(Object::Global(known));
        Ok(())
    }

    /// What a call would give: only what is known is made, and nothing runs.
    fn call(&mut self) -> Step<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let at = self.at;
        let (Object::Tuple(arguments), Object::Global(function)) = (&self.objects[arguments], &self.objects[function])
        else {
            return Err(PickleError::Stack { expected: "a known global and its arguments", at });
        };
        let made = match (function, &arguments[..]) {
            (Global::OrderedDict, _) => Object::Dict(Vec::new()),
            (Global::RebuildTensor, [storage, offset, sizes, strides, ..]) => {
                Object::Tensor { storage: *storage, offset: *offset, sizes: *sizes, strides: *strides }
            }
            (Global::RebuildParameter, [tensor, ..]) => {
                let tensor = *tensor;
                self.stack.push(tensor);
                return Ok(());
            }
            (Global::Other, _) => Object::Other,
            _ => return Err(PickleError::Stack { expected: "the arguments of a tensor", at }),
        };
        self.push(made);
        Ok(())
    }

    /// `("storage", type, key, device, length)`.
    fn persistent(&mut self) -> Step<()> {
        let id = self.pop()?;
        let at = self.at;
        let wrong = PickleError::Stack { expected: "the name of a storage", at };
        let Object::Tuple(parts) = &self.objects[id] else { return Err(wrong) };
        let parts: Vec<&Object> = parts.iter().map(|id| &self.objects[*id]).collect();
        let storage = match parts[..] {
            [Object::Text(kind), Object::Global(Global::Storage(element)), Object::Text(key), ..]
                if kind == "storage" =>
            {
                Storage { key: key.clone(), element: *element }
            }
            _ => return Err(wrong),
        };
        self.push(Object::Storage(storage));
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Step<()> {
        let made = match opcode {
            b'}' => Object::Dict(Vec::new()),
            b']' => Object::List(Vec::new()),
            b')' => Object::Tuple(Vec::new()),
            0x8f => Object::List(Vec::new()),
            b't' => Object::Tuple(self.marked()?),
            b'l' => Object::List(self.marked()?),
            b'd' => Object::Dict(pairs(&self.marked()?)),
            _ => {
                let count = usize::from(opcode - 0x84);
                let from = self
                    .stack
                    .len()
                    .checked_sub(count)
                    .filter(|from| self.marks.last().is_none_or(|mark| mark <= from));
                let from = from.ok_or(PickleError::Stack { expected: "a tuple's elements", at: self.at })?;
                Object::Tuple(self.stack.split_off(from))
            }
        };
        self.push(made);
        Ok(())
    }

    /// Adds to the list or dictionary on the stack.
    fn fill(&mut self, opcode: u8) -> Step<()> {
        let more = match opcode {
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                vec![key, value]
            }
            b'a' => vec![self.pop()?],
            _ => self.marked()?,
        };
        let (top, at) = (self.top()?, self.at);
        match &mut self.objects[top] {
            Object::Dict(entries) if matches!(opcode, b's' | b'u') => entries.extend(pairs(&more)),
            Object::List(entries) if !matches!(opcode, b's' | b'u') => entries.extend(more),
            Object::Other => {}
            _ => return Err(PickleError::Stack { expected: "a list or dictionary to add to", at }),
        }
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.objects.push(object);
        self.stack.push(self.objects.len() - 1);
    }

    fn pop(&mut self) -> Step<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// The last object above the last mark.
    fn top(&self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let top = self.stack.get(floor..).and_then(<[Id]>::last).copied();
        top.ok_or(PickleError::Stack { expected: "an object", at: self.at })
    }

    /// All objects above the last mark.
    fn marked(&mut self) -> Step<Vec<Id>> {
        let mark = self.marks.pop().filter(|mark| *mark <= self.stack.len());
        Ok(self.stack.split_off(mark.ok_or(PickleError::Stack { expected: "a mark", at: self.at })?))
    }

    fn take(&mut self, length: usize) -> Step<&'b [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length));
        let taken = taken.ok_or(PickleError::End { at: self.at })?;
        self.at += length;
        Ok(taken)
    }

    fn number(&mut self, digits: usize) -> Step<u64> {
        Ok(self.take(digits)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, digits: usize) -> Step<usize> {
        usize::try_from(self.number(digits)?).map_err(|_| PickleError::End { at: self.at })
    }

    fn line(&mut self) -> Step<String> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(PickleError::End { at: self.at })?;
        self.at += end + 1;
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }
}

/// Keys and values in turns.
fn pairs(ids: &[Id]) -> Vec<(Id, Id)> {
    ids.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}
