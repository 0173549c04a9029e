#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| nova_ha::fuzzing::run("nova_services", data));
