/** By how much the harness's own time limits are longer: E2E_PATIENCE, which e2e/vm sets where everything is emulated. Default: 1. */
export const PATIENCE = Number(process.env.E2E_PATIENCE ?? 1);
