pub(crate) mod hot;
