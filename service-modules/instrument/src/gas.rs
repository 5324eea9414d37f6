//! What code costs and where it is charged.
//!
//! Structured control flow repeats code only through loop heads and calls, so a piece of code runs at most once for
//! each time its innermost loop head (or function entry) is passed. Short pieces are therefore charged *there*, for all
//! paths at once; pieces that would make untaken paths dear (arms of an interpreter's big switch) are charged where
//! they begin. Either way no instruction runs unpaid.
//!
//! The places where something may be charged are numbered in the order of the code: the function's entry, then after
//! each `loop`, `if`, `else` and `end`.

use wasmparser::Operator;

/// A piece that costs less is charged at its loop head.
const SMALL: u64 = 24;
/// A loop head takes charges of small pieces up to this sum.
const MAX_MERGED: u64 = 96;

/// Computes the charge of each place; feed it the function's operators in order.
#[derive(Debug)]
pub struct Charges {
    places: Vec<Place>,
    current: usize,
    /// The place of the innermost loop head or function entry, for each open block.
    heads: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    cost: u64,
    head: usize,
}

impl Charges {
    /// At the entry of a function with so many locals, which are zeroed when it is entered.
    pub fn new(locals: u32) -> Self {
        let entry = Place { cost: 1 + u64::from(locals) / 4, head: 0 };
        Charges { places: vec![entry], current: 0, heads: vec![0] }
    }

    /// The next operator.
    pub fn operator(&mut self, operator: &Operator<'_>) {
        self.places[self.current].cost += cost(operator);
        match operator {
            Operator::Block { .. } => self.heads.push(self.head()),
            Operator::Loop { .. } => {
                self.heads.push(self.places.len());
                self.place();
            }
            Operator::If { .. } => {
                self.heads.push(self.head());
                self.place();
            }
            Operator::Else => self.place(),
            Operator::End => {
                self.heads.pop();
                self.place();
            }
            _ => {}
        }
    }

    /// The charge of each place; zero where nothing is charged.
    pub fn finish(mut self) -> Vec<u64> {
        let mut merged = vec![0; self.places.len()];
        for index in 0..self.places.len() {
            let Place { cost, head } = self.places[index];
            if index != head && cost < SMALL && merged[head] + cost <= MAX_MERGED {
                merged[head] += cost;
                self.places[index].cost = 0;
            }
        }
        self.places.iter().zip(merged).map(|(place, merged)| place.cost + merged).collect()
    }

    fn head(&self) -> usize {
        self.heads.last().copied().unwrap_or(0)
    }

    fn place(&mut self) {
        self.current = self.places.len();
        self.places.push(Place { cost: 0, head: self.head() });
    }
}

/// What one operator costs besides what is charged by length: about the relative time of compiled code.
fn cost(operator: &Operator<'_>) -> u64 {
    match operator {
        Operator::Nop | Operator::Block { .. } | Operator::Else | Operator::End => 0,
        Operator::Call { .. } => 4,
        Operator::CallIndirect { .. } => 8,
        Operator::I32DivS
        | Operator::I32DivU
        | Operator::I32RemS
        | Operator::I32RemU
        | Operator::I64DivS
        | Operator::I64DivU
        | Operator::I64RemS
        | Operator::I64RemU
        | Operator::F32Div
        | Operator::F64Div
        | Operator::F32Sqrt
        | Operator::F64Sqrt => 4,
        Operator::MemoryCopy { .. }
        | Operator::MemoryFill { .. }
        | Operator::MemoryInit { .. }
        | Operator::MemoryGrow { .. }
        | Operator::TableCopy { .. }
        | Operator::TableFill { .. }
        | Operator::TableInit { .. }
        | Operator::TableGrow { .. } => 16,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::BlockType;

    const ONE: Operator<'static> = Operator::Unreachable;

    fn charges(operators: &[(Operator<'static>, usize)]) -> Vec<u64> {
        let mut charges = Charges::new(0);
        operators.iter().for_each(|(operator, times)| (0..*times).for_each(|_| charges.operator(operator)));
        charges.finish()
    }

    #[test]
    fn small_pieces_are_paid_at_their_head_and_large_ones_where_they_begin() {
        let loop_ = Operator::Loop { blockty: BlockType::Empty };
        let if_ = Operator::If { blockty: BlockType::Empty };
        let code = [
            (ONE, 3),
            (loop_, 1),
            (ONE, 5),
            (if_, 1),
            (ONE, 7),
            (Operator::Else, 1),
            (ONE, 40),
            (Operator::End, 1),
            (ONE, 2),
            (Operator::End, 1),
            (ONE, 11),
            (Operator::End, 1),
        ];
        // entry: 1 + 3 and `loop`, and the 11 after the loop; head: 5, `if`, 7 of the arm, 2 after it.
        assert_eq!(charges(&code), [1 + 3 + 1 + 11, 5 + 1 + 7 + 2, 0, 40, 0, 0, 0]);
    }

    #[test]
    fn a_head_takes_only_so_much() {
        let if_ = Operator::If { blockty: BlockType::Empty };
        let code: Vec<_> = (0..7).flat_map(|_| [(if_.clone(), 1), (ONE, 20), (Operator::End, 1)]).collect();
        let charges = charges(&code);
        // The arms pay 20 each, the `if`s 1 each: four arms fit, the rest pay for themselves.
        assert_eq!(charges.iter().sum::<u64>(), 1 + 7 * 21);
        assert_eq!(charges.iter().filter(|charge| **charge == 20).count(), 3);
    }
}
