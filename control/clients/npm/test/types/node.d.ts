// The part of Node's types that index.d.ts uses, so that checking it needs no package.
declare module "node:events" {
  export class EventEmitter {
    on(event: string, listener: (...args: any[]) => void): this;
  }
}
