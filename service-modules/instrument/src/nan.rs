//! Which instructions could let the bits of a NaN be seen.
//!
//! Arithmetic may produce NaNs with any sign and payload, and differs between machines. A scalar's bits are seen only
//! when it is stored, reinterpreted, used as the sign of `copysign`, put into a vector or kept in a global: there the
//! value is replaced by the canonical NaN first. Vectors are looked at in too many ways: their float results are made
//! canonical at once.

use wasmparser::Operator;

/// The canonical NaNs, positive and quiet.
pub const NAN32: u32 = 0x7fc0_0000;
/// See [`NAN32`].
pub const NAN64: u64 = 0x7ff8_0000_0000_0000;

/// What must become canonical around an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canonical {
    /// Nothing.
    No,
    /// The f32 on top of the stack, before the operator.
    F32Operand,
    /// The f64 on top of the stack, before the operator.
    F64Operand,
    /// The four lanes of the result.
    F32x4Result,
    /// The two lanes of the result.
    F64x2Result,
}

/// What must become canonical around this operator; `global.set` depends on the global and is not decided here.
pub fn canonical(operator: &Operator<'_>) -> Canonical {
    use Operator as O;
    match operator {
        O::F32Store { .. }
        | O::I32ReinterpretF32
        | O::F32Copysign
        | O::F32x4Splat
        | O::F32x4ReplaceLane { .. } => Canonical::F32Operand,
        O::F64Store { .. }
        | O::I64ReinterpretF64
        | O::F64Copysign
        | O::F64x2Splat
        | O::F64x2ReplaceLane { .. } => Canonical::F64Operand,
        O::F32x4Ceil
        | O::F32x4Floor
        | O::F32x4Trunc
        | O::F32x4Nearest
        | O::F32x4Sqrt
        | O::F32x4Add
        | O::F32x4Sub
        | O::F32x4Mul
        | O::F32x4Div
        | O::F32x4Min
        | O::F32x4Max
        | O::F32x4PMin
        | O::F32x4PMax
        | O::F32x4DemoteF64x2Zero => Canonical::F32x4Result,
        O::F64x2Ceil
        | O::F64x2Floor
        | O::F64x2Trunc
        | O::F64x2Nearest
        | O::F64x2Sqrt
        | O::F64x2Add
        | O::F64x2Sub
        | O::F64x2Mul
        | O::F64x2Div
        | O::F64x2Min
        | O::F64x2Max
        | O::F64x2PMin
        | O::F64x2PMax
        | O::F64x2PromoteLowF32x4 => Canonical::F64x2Result,
        _ => Canonical::No,
    }
}

/// Does the operator use floats, and does it use vectors; for reports, by the operator's name.
pub fn uses(operator: &Operator<'_>) -> (bool, bool) {
    macro_rules! names {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            match operator {
                $( Operator::$op { .. } => (stringify!($op), stringify!($proposal)), )*
                _ => ("", ""),
            }
        };
    }
    let (name, proposal) = wasmparser::for_each_operator!(names);
    (name.contains("F32") || name.contains("F64"), proposal == "simd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_and_vectors_are_told_by_name() {
        assert_eq!(uses(&Operator::F32Add), (true, false));
        assert_eq!(uses(&Operator::I32TruncSatF64U), (true, false));
        assert_eq!(uses(&Operator::I8x16Splat), (false, true));
        assert_eq!(uses(&Operator::F64x2Mul), (true, true));
        assert_eq!(uses(&Operator::I64Add), (false, false));
    }
}
