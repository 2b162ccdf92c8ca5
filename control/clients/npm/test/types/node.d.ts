// As much of Node's own types as ours are built on, so that checking them needs no package.
declare module "node:events" {
  export class EventEmitter {
    on(event: string, listener: (...args: any[]) => void): this;
  }
}
