//! Inspects and instruments service modules: gas, stack depth, NaN, memory.
