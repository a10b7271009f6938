/** `shoal fanout …`: one image to many nodes, simulated and live. */
import { Command } from 'commander'
import { fanoutLiveCommand } from './fanout-live.ts'
import { fanoutSimCommand } from './fanout-sim.ts'
import { fanoutValidateCommand } from './fanout-validate.ts'

export function fanoutCommand(): Command {
  return new Command('fanout')
    .description('Shows how one image gets to many nodes.')
    .addCommand(fanoutSimCommand())
    .addCommand(fanoutLiveCommand())
    .addCommand(fanoutValidateCommand())
}
