//! Rewrites one function: charges gas, counts stack depth, makes NaNs canonical.
//!
//! Operators that need no change are copied byte for byte. A body that may call is put into a block in the place of the
//! function's own label, so that every way out of it (falling through, `return`, a branch) passes the code that gives
//! the stack depth back; after a trap a host resets the depth.

use service_abi::limits::{BYTES_PER_GAS_SHIFT, FRAME_UNITS, GAS_PER_ELEMENT};
use wasm_encoder::reencode::{Reencode, RoundtripReencoder};
use wasm_encoder::{BlockType, Function, Ieee32, Ieee64, Instruction as I, ValType};
use wasmparser::{FunctionBody, Operator, OperatorsReader};

use crate::error::Refused;
use crate::gas::Charges;
use crate::nan::{canonical, Canonical, NAN32, NAN64};

/// Indices of what rewriting adds to the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    pub(crate) gas: u32,
    pub(crate) depth: u32,
    /// `(i64) -> ()`: burns gas.
    pub(crate) charge: u32,
    /// `(i32) -> (i32)`: `memory.grow` that burns gas and tells the host's failure from the limit.
    pub(crate) grow: u32,
}

/// What rewriting needs to know of one function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature {
    pub(crate) params: u32,
    /// Type of a block that has the function's results.
    pub(crate) block: BlockType,
    /// Highest operand stack.
    pub(crate) height: u32,
}

/// Rewrites a body. `float_global` gives the width of a mutable float global.
pub(crate) fn rewrite(
    body: &FunctionBody<'_>,
    signature: Signature,
    added: Added,
    float_global: impl Fn(u32) -> Option<Canonical>,
) -> Result<Function, Refused> {
    let canonical = |operator: &Operator<'_>| match *operator {
        Operator::GlobalSet { global_index } => float_global(global_index).unwrap_or(Canonical::No),
        _ => canonical(operator),
    };
    let plan = Plan::new(body, signature, canonical)?;
    let mut writer = Writer::new(added, &plan);
    writer.enter(signature.block);
    let (bytes, base) = (body.as_bytes(), body.range().start);
    let mut operators = body.get_operators_reader()?;
    while !operators.eof() {
        let from = (operators.original_position() - base) as usize;
        let operator = operators.read()?;
        let to = (operators.original_position() - base) as usize;
        writer.operator(&operator, canonical(&operator), &bytes[from..to]);
    }
    Ok(writer.function)
}

/// What a first look at the body found.
struct Plan {
    locals: Vec<(u32, ValType)>,
    /// Index of the first added local.
    scratch: u32,
    charges: Vec<u64>,
    /// Stack units of a frame; `None` for small functions that call nothing.
    frame: Option<i32>,
}

/// A function that calls nothing adds at most one frame to the stack: up to this size it is not counted.
const SMALL_LEAF: u64 = 64;

impl Plan {
    fn new(
        body: &FunctionBody<'_>,
        signature: Signature,
        canonical: impl Fn(&Operator<'_>) -> Canonical,
    ) -> Result<Self, Refused> {
        let mut locals = Vec::new();
        let (mut count, mut units) =
            (signature.params, u64::from(signature.params) + u64::from(signature.height));
        for group in body.get_locals_reader()? {
            let (repeats, ty) = group?;
            count += repeats;
            units += u64::from(repeats) * if ty == wasmparser::ValType::V128 { 2 } else { 1 };
            let ty = RoundtripReencoder.val_type(ty);
            locals.push((repeats, ty.map_err(|_| Refused::NotAllowed { what: "an unknown type of local" })?));
        }
        let mut charges = Charges::new(count);
        let mut calls = false;
        let mut needs = [true, false, false, false, false];
        let mut operators: OperatorsReader<'_> = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            charges.operator(&operator);
            calls |= matches!(operator, Operator::Call { .. } | Operator::CallIndirect { .. });
            needs[1] |= bulk_unit(&operator).is_some();
            match canonical(&operator) {
                Canonical::No => {}
                Canonical::F32Operand => needs[2] = true,
                Canonical::F64Operand => needs[3] = true,
                Canonical::F32x4Result | Canonical::F64x2Result => needs[4] = true,
            }
        }
        // Each kind of scratch local has a fixed place as long as all before it exist: declare up to the last needed.
        let kinds = [ValType::I64, ValType::I32, ValType::F32, ValType::F64, ValType::V128];
        let last = needs.iter().rposition(|needed| *needed).unwrap_or(0);
        locals.extend(kinds[..=last].iter().map(|ty| (1, *ty)));
        let units = units + u64::from(FRAME_UNITS) + last as u64 + 1;
        let frame = (calls || units > SMALL_LEAF).then(|| i32::try_from(units).unwrap_or(i32::MAX));
        Ok(Plan { locals, scratch: count, charges: charges.finish(), frame })
    }
}

struct Writer<'a> {
    function: Function,
    added: Added,
    plan: &'a Plan,
    /// The next place of `plan.charges`.
    place: usize,
    /// Open blocks of the original body.
    nesting: u32,
}

impl<'a> Writer<'a> {
    fn new(added: Added, plan: &'a Plan) -> Self {
        Writer { function: Function::new(plan.locals.iter().copied()), added, plan, place: 0, nesting: 0 }
    }

    fn enter(&mut self, block: BlockType) {
        if let Some(units) = self.plan.frame {
            let depth = self.added.depth;
            self.emit(&[
                I::GlobalGet(depth),
                I::I32Const(units),
                I::I32Sub,
                I::GlobalSet(depth),
                I::GlobalGet(depth),
                I::I32Const(0),
                I::I32LtS,
                I::If(BlockType::Empty),
                I::Unreachable,
                I::End,
            ]);
        }
        self.charge();
        if self.plan.frame.is_some() {
            self.emit(&[I::Block(block)]);
        }
    }

    fn operator(&mut self, operator: &Operator<'_>, canonical: Canonical, bytes: &[u8]) {
        match operator {
            Operator::Block { .. } => {
                self.nesting += 1;
                self.copy(bytes);
            }
            Operator::Loop { .. } | Operator::If { .. } => {
                self.nesting += 1;
                self.copy(bytes);
                self.charge();
            }
            Operator::Else => {
                self.copy(bytes);
                self.charge();
            }
            Operator::End if self.nesting == 0 => self.leave(),
            Operator::End => {
                self.nesting -= 1;
                self.copy(bytes);
                self.charge();
            }
            Operator::Return if self.plan.frame.is_some() => self.emit(&[I::Br(self.nesting)]),
            Operator::DataDrop { .. } | Operator::ElemDrop { .. } => {}
            Operator::MemoryGrow { .. } => self.emit(&[I::Call(self.added.grow)]),
            _ => {
                if let Some(unit) = bulk_unit(operator) {
                    self.charge_length(unit);
                }
                self.before(canonical);
                self.copy(bytes);
                self.after(canonical);
            }
        }
    }

    fn leave(&mut self) {
        if let Some(units) = self.plan.frame {
            let depth = self.added.depth;
            self.emit(&[I::End, I::GlobalGet(depth), I::I32Const(units), I::I32Add, I::GlobalSet(depth)]);
        }
        self.emit(&[I::End]);
    }

    /// Charges what the next place costs.
    fn charge(&mut self) {
        let cost = self.plan.charges.get(self.place).copied().unwrap_or(0);
        self.place += 1;
        if cost > 0 {
            let (gas, local) = (self.added.gas, self.plan.scratch);
            self.emit(&[
                I::GlobalGet(gas),
                I::I64Const(cost as i64),
                I::I64Sub,
                I::LocalTee(local),
                I::GlobalSet(gas),
                I::LocalGet(local),
                I::I64Const(0),
                I::I64LtS,
                I::If(BlockType::Empty),
                I::Unreachable,
                I::End,
            ]);
        }
    }

    /// Charges a bulk operation by the length on top of the stack.
    fn charge_length(&mut self, unit: Unit) {
        let local = self.plan.scratch + 1;
        self.emit(&[I::LocalTee(local), I::LocalGet(local), I::I64ExtendI32U]);
        match unit {
            Unit::Byte => self.emit(&[I::I64Const(i64::from(BYTES_PER_GAS_SHIFT)), I::I64ShrU]),
            Unit::Element => self.emit(&[I::I64Const(GAS_PER_ELEMENT as i64), I::I64Mul]),
        }
        self.emit(&[I::Call(self.added.charge)]);
    }

    fn before(&mut self, canonical: Canonical) {
        let (f32, f64) = (self.plan.scratch + 2, self.plan.scratch + 3);
        match canonical {
            Canonical::F32Operand => self.emit(&[
                I::LocalTee(f32),
                I::F32Const(Ieee32::new(NAN32)),
                I::LocalGet(f32),
                I::LocalGet(f32),
                I::F32Eq,
                I::Select,
            ]),
            Canonical::F64Operand => self.emit(&[
                I::LocalTee(f64),
                I::F64Const(Ieee64::new(NAN64)),
                I::LocalGet(f64),
                I::LocalGet(f64),
                I::F64Eq,
                I::Select,
            ]),
            _ => {}
        }
    }

    fn after(&mut self, canonical: Canonical) {
        let local = self.plan.scratch + 4;
        let (nan, equal) = match canonical {
            Canonical::F32x4Result => {
                (u128::from(NAN32) * 0x0000_0001_0000_0001_0000_0001_0000_0001, I::F32x4Eq)
            }
            Canonical::F64x2Result => (u128::from(NAN64) << 64 | u128::from(NAN64), I::F64x2Eq),
            _ => return,
        };
        self.emit(&[
            I::LocalTee(local),
            I::V128Const(nan as i128),
            I::LocalGet(local),
            I::LocalGet(local),
            equal,
            I::V128Bitselect,
        ]);
    }

    fn emit(&mut self, instructions: &[I<'_>]) {
        for instruction in instructions {
            self.function.instruction(instruction);
        }
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.function.raw(bytes.iter().copied());
    }
}

/// What the length of a bulk operation counts.
#[derive(Clone, Copy)]
enum Unit {
    Byte,
    Element,
}

fn bulk_unit(operator: &Operator<'_>) -> Option<Unit> {
    match operator {
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. } => {
            Some(Unit::Byte)
        }
        Operator::TableCopy { .. }
        | Operator::TableFill { .. }
        | Operator::TableInit { .. }
        | Operator::TableGrow { .. } => Some(Unit::Element),
        _ => None,
    }
}
