"""The bilevel step that RCIG, CIG, VIG and FRePo share."""
